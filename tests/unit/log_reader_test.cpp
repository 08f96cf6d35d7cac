// The reader of log files against somebody who writes and rotates them.
#include "tools/common/log_reader.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/rotating_file_sink.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "support/catch.hpp"

using namespace muproc::tools;
namespace fs = std::filesystem;

namespace {

class Writer {
 public:
  /// Rotates after some twenty lines.
  explicit Writer(std::size_t files) : sink_(std::make_shared<spdlog::sinks::rotating_file_sink_st>(path().string(), 200, files)) {
    log_ = std::make_unique<spdlog::logger>("x", sink_);
    log_->set_pattern("%v");
    log_->flush_on(spdlog::level::trace);
  }
  ~Writer() { fs::remove_all(folder_); }
  fs::path path() const { return folder_ / "a.log"; }
  void say(int from, int to) {
    for (int i = from; i < to; ++i) log_->info("line {:04}", i);
  }

 private:
  fs::path folder_ = [] {
    std::string name = (fs::temp_directory_path() / "log-reader-XXXXXX").string();
    return fs::path(::mkdtemp(name.data()));
  }();
  std::shared_ptr<spdlog::sinks::rotating_file_sink_st> sink_;
  std::unique_ptr<spdlog::logger> log_;
};

bool all(std::string_view) { return true; }

std::vector<std::string> numbered(int from, int to) {
  std::vector<std::string> lines;
  for (int i = from; i < to; ++i) lines.push_back(fmt::format("line {:04}", i));
  return lines;
}

}  // namespace

TEST_CASE("the last lines come from as many rotated files as they need", "[log][muctl]") {
  Writer writer(50);
  writer.say(0, 100);
  CHECK(LogReader(writer.path()).last(1, all) == numbered(99, 100));
  CHECK(LogReader(writer.path()).last(75, all) == numbered(25, 100));
  CHECK(LogReader(writer.path()).last(1000, all) == numbered(0, 100));
  CHECK(LogReader(writer.path()).last(0, all).empty());
  CHECK(LogReader(writer.path()).last(2, [](std::string_view line) { return line.ends_with("7"); }) ==
        std::vector<std::string>{"line 0087", "line 0097"});
  CHECK(LogReader(writer.path().replace_filename("none.log")).last(5, all).empty());
}

TEST_CASE("a follower misses nothing, however often the file is rotated between two looks", "[log][muctl]") {
  Writer writer(200);
  writer.say(0, 7);
  LogReader reader(writer.path());
  std::vector<std::string> seen = reader.last(5, all);
  int next = 7;
  for (const int step : {1, 3, 0, 20, 21, 150, 1, 500, 2}) {
    writer.say(next, next + step);
    next += step;
    reader.read_on([&](std::string_view line) { seen.emplace_back(line); });
  }
  CHECK(seen == numbered(2, next));
  CHECK(reader.lost() == 0);
}

TEST_CASE("a follower misses nothing while the files are rotated under its eyes", "[log][muctl]") {
  constexpr int k_lines = 4'000;
  Writer writer(300);
  writer.say(0, 1);
  LogReader reader(writer.path());
  std::vector<std::string> seen = reader.last(1, all);
  std::atomic<int> written = 1;
  std::thread writing([&] {
    for (; written < k_lines; ++written) writer.say(written, written + 1);
  });
  const auto look = [&] { reader.read_on([&](std::string_view line) { seen.emplace_back(line); }); };
  // Some twenty files behind, so that a look meets the renaming of those that it looks for.
  while (written < k_lines)
    if (written > static_cast<int>(seen.size()) + 400) look();
  writing.join();
  look();
  CHECK(reader.lost() == 0);
  CHECK(seen == numbered(0, k_lines));
}

TEST_CASE("a follower whose file was rotated away goes on with the oldest there is, and says so", "[log][muctl]") {
  Writer writer(2);
  writer.say(0, 3);
  LogReader reader(writer.path());
  std::vector<std::string> seen = reader.last(5, all);
  writer.say(3, 500);
  reader.read_on([&](std::string_view line) { seen.emplace_back(line); });
  CHECK(reader.lost() == 1);
  CHECK(seen.back() == "line 0499");
  CHECK(seen.size() < 500);
}

TEST_CASE("a follower waits for a file that is not there yet", "[log][muctl]") {
  Writer writer(2);
  LogReader reader(writer.path().replace_filename("later.log"));
  CHECK(reader.last(5, all).empty());
  CHECK_FALSE(reader.read_on([](std::string_view) {}));
}
