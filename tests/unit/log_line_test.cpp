// Lines of captured output: out of bytes, into files' words, and back.
#include "wire/log_line.hpp"

#include <string>
#include <vector>

#include "broker/logs/line_splitter.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

using namespace muproc;
using namespace muproc::broker;
using namespace muproc::wire;
using namespace std::string_literals;

namespace {

struct Piece {
  std::string text;
  LineEnd end;
};

class Splitting {
 private:
  auto emit() {
    return [this](std::string_view text, LineEnd end) { pieces.push_back({std::string(text), end}); };
  }

 public:
  void add(std::string_view bytes) { splitter_.add(bytes, emit()); }
  void finish() { splitter_.finish(emit()); }
  std::vector<Piece> pieces;
  /// What went in, made out of the pieces.
  std::string joined() const {
    std::string all;
    for (const Piece& piece : pieces) all += piece.text + (piece.end == LineEnd::whole ? "\n" : "");
    return all;
  }

 private:
  LineSplitter splitter_;
};

}  // namespace

TEST_CASE("bytes become lines, however they are cut", "[log]") {
  Splitting splitting;
  splitting.add("one\ntw");
  splitting.add("o\n\nthree");
  CHECK(splitting.pieces.size() == 3);
  CHECK(splitting.pieces[1].text == "two");
  CHECK(splitting.pieces[2].text.empty());
  splitting.finish();
  REQUIRE(splitting.pieces.size() == 4);
  CHECK(splitting.pieces[3].text == "three");
  CHECK(splitting.pieces[3].end == LineEnd::missing);
  splitting.finish();
  CHECK(splitting.pieces.size() == 4);
}

TEST_CASE("a line that is too long comes in pieces, and no byte is lost or added", "[log]") {
  for (const std::size_t size : {k_longest_line - 1, k_longest_line, k_longest_line + 1, 3 * k_longest_line, 3 * k_longest_line + 7}) {
    for (const std::size_t chunk : {std::size_t{1000}, std::size_t{65536}, std::size_t{1} << 20}) {
      const std::string text = std::string(size, 'x') + "\nnext\n";
      Splitting splitting;
      for (std::size_t at = 0; at < text.size(); at += chunk) splitting.add(std::string_view(text).substr(at, chunk));
      splitting.finish();
      CHECK(splitting.joined() == text);
      CHECK(splitting.pieces.back().text == "next");
      for (const Piece& piece : splitting.pieces) CHECK(piece.text.size() <= k_longest_line);
    }
  }
}

TEST_CASE("a log line survives being written and parsed, in both formats", "[log]") {
  const LogLine lines[] = {
      {"2026-11-24 20:34:42.123456", "out", false, "ch-1", 4711, "text"},
      {"2026-11-24 20:34:42.123456", "error", true, "a[7]", 1, "  [9]: two spaces, \"quotes\" and \\"},
      {"2026-11-24 20:34:42.123456", "err", false, "x", 2, ""},
      {"2026-11-24 20:34:42.123456", "out", false, "x", 2, "\x00\x01\x7f\xff\xfe bytes \xc2\x85 \xe2\x82\xac"s},
  };
  for (const LogLine& line : lines) {
    for (const std::string& written : {to_text(line), to_json(line)}) {
      INFO(written);
      const auto read = parse_log_line(written);
      REQUIRE(read);
      CHECK(read->word == line.word);
      CHECK(read->goes_on == line.goes_on);
      CHECK(read->os_pid == line.os_pid);
      CHECK(read->name == line.name);
      CHECK(read->text == line.text);
    }
    CHECK(parse_log_line(to_json(line))->name == line.name);
    CHECK(to_text(*parse_log_line(to_json(line))) == to_text(line));
  }
  CHECK(parse_log_line(to_text(lines[0]))->name == "ch-1");
  for (const char* nonsense : {"", "{", "text", "{\"time\": \"x\"}", "a b c d", "2026 20 out x[: y"}) CHECK_FALSE(parse_log_line(nonsense));
}

TEST_CASE("different names have different files, the rotated ones and the broker's included", "[log]") {
  CHECK(log_file_name("ch-1") == "ch-1.log");
  CHECK(log_file_name("ch-3.x") == "ch-3.x.log");
  CHECK(log_file_name("ch-3.1") == "ch-3..1.log");  // ch-3.1.log is ch-3's, put aside
  CHECK(log_file_name("broker") != "broker.log");
  CHECK(log_file_name("spawned") != "spawned.log");
  CHECK(log_file_name("../x").find('/') == std::string::npos);
  CHECK(log_file_name("a.") + "1" != log_file_name("a") + "1");
  // What rotation makes of one name's file is never another name's file.
  const std::vector<std::string> names = {"a", "a.", "a..", "a.1", "a..1", "a.1.1", "a.%2E", "a%2E", "a.1.", "a.log", "a.log.1", "%", "broker", "%62roker"};
  for (const auto& one : names)
    for (const auto& other : names) {
      if (one == other) continue;
      INFO(one << " and " << other);
      const std::string file = log_file_name(one);
      const std::string stem = file.substr(0, file.size() - 4);
      CHECK(file != log_file_name(other));
      for (const char* number : {"1", "2", "11"}) CHECK(stem + "." + number + ".log" != log_file_name(other));
    }
}
