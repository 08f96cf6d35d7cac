// What muprocs print: captured without loss, whoever stops, dies or floods.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/paths.hpp"
#include "support/system_fixture.hpp"
#include "wire/log_line.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

const SystemOptions k_captured{.capture_output = true};

void waits(Self& self) {
  self.receive(on<"end">() >> [] {});
}

/// Does what it is told, and says when it is done.
void puppet(Self& self) {
  const auto done = [&](From from) { self.send(from, "done", true); };
  for (;;) {
    self.receive(
        on<"print">() >>
            [&](From from, std::string text) {
              std::cout << text << std::flush;
              done(from);
            },
        on<"error">() >>
            [&](From from, std::string text) {
              std::cerr << text << std::flush;
              done(from);
            },
        on<"log">() >>
            [&](From from, std::string text) {
              self.log().warn("{}", text);
              done(from);
            },
        on<"count", "to">() >>
            [&](From from, std::int64_t begin, std::int64_t end) {
              for (std::int64_t i = begin; i < end; ++i) std::printf("line %lld\n", static_cast<long long>(i));
              done(from);
            },
        on<"die">() >> [&] { ::raise(SIGKILL); });
  }
}

Supervisor with_puppet(ChildOptions options = {}) { return supervisor(one_for_one, {100, 60s}, {{"puppet", puppet, std::move(options)}}); }

void tell(Self& self, const char* what, const std::string& text) {
  std::string(what) == "print" ? self.send("puppet", "print", text) : std::string(what) == "error" ? self.send("puppet", "error", text) : self.send("puppet", "log", text);
  next<bool, "done">(self);
}
void count(Self& self, std::int64_t begin, std::int64_t end) { self.send("puppet", "count", begin, "to", end); }

std::vector<wire::LogLine> lines_in(const fs::path& path) {
  std::vector<wire::LogLine> lines;
  std::istringstream stream(contents(path));
  for (std::string line; std::getline(stream, line);)
    if (auto parsed = wire::parse_log_line(line)) lines.push_back(*std::move(parsed));
  return lines;
}

/// Of a file and its rotated ones, oldest first.
std::vector<wire::LogLine> all_lines_of(const fs::path& path) {
  std::vector<wire::LogLine> all;
  int oldest = 0;
  const auto rotated = [&](int index) {
    return index == 0 ? path : path.parent_path() / (path.stem().string() + "." + std::to_string(index) + ".log");
  };
  while (fs::exists(rotated(oldest + 1))) ++oldest;
  for (int index = oldest; index >= 0; --index) {
    auto lines = lines_in(rotated(index));
    std::move(lines.begin(), lines.end(), std::back_inserter(all));
  }
  return all;
}

void wait_for_line(const fs::path& path, const std::string& text) {
  wait_until("the line \"" + text + "\" in " + path.string(), [&] {
    for (const auto& line : lines_in(path))
      if (line.text == text) return true;
    return false;
  });
}

wire::LogLine line_with(const fs::path& path, const std::string& text) {
  for (const auto& line : lines_in(path))
    if (line.text == text) return line;
  FAIL("no line \"" << text << "\" in " << path);
  return {};
}

pid_t logger_of(pid_t broker) {
  return wait_until("a logger", [&]() -> pid_t {
    std::ifstream children("/proc/" + std::to_string(broker) + "/task/" + std::to_string(broker) + "/children");
    for (pid_t child; children >> child;) {
      std::string name;
      std::ifstream("/proc/" + std::to_string(child) + "/comm") >> name;
      if (name == "muproc-logger") return child;
    }
    return 0;
  });
}

}  // namespace

TEST_CASE("what a muproc prints and logs is stamped with its name, in its file and on the console", "[log]") {
  LiveSystem system(with_puppet(), k_captured);
  Self& self = system.self();
  const auto file = system.folder() / "logs" / "puppet.log";
  tell(self, "print", "one\n");
  tell(self, "error", "two\n");
  tell(self, "log", "three\nfour");
  const int os_pid = os_pid_of(self, self.find("puppet"));
  wait_for_line(file, "four");
  wait_for_line(file, "one");
  CHECK(line_with(file, "one").word == "out");
  CHECK(line_with(file, "two").word == "err");
  CHECK(line_with(file, "three").word == "warn");
  CHECK(line_with(file, "four").word == "warn");
  for (const auto& line : lines_in(file)) {
    CHECK(line.name == "puppet");
    CHECK(line.os_pid == os_pid);
  }
  system.broker().wait_for_output("warn  puppet[" + std::to_string(os_pid) + "]: three");
  system.broker().wait_for_output("out   puppet[" + std::to_string(os_pid) + "]: one");
}

TEST_CASE("the last words of one who is killed are kept, without a newline too", "[log][death]") {
  LiveSystem system(with_puppet(), k_captured);
  Self& self = system.self();
  const auto file = system.folder() / "logs" / "puppet.log";
  for (int round = 0; round < 20; ++round) {
    const Pid pid = self.find("puppet");
    const std::string words = "round " + std::to_string(round);
    tell(self, "print", words + ": a whole line\n" + words + ": my last wor");
    self.send("puppet", "die", true);
    wait_for_replacement(self, "puppet", pid);
    wait_for_line(file, words + ": a whole line");
    wait_for_line(file, words + ": my last wor");
  }
}

TEST_CASE("who has no supervisor prints into one file for all such", "[log]") {
  LiveSystem system(with_puppet(), k_captured);
  Self& self = system.self();
  play(self, "lonely", +[](Self& self) { self.log().info("alone"); });
  wait_for_line(system.folder() / "logs" / "spawned.log", "alone");
  CHECK(line_with(system.folder() / "logs" / "spawned.log", "alone").name == "lonely");
}

TEST_CASE("a flood of lines is kept to the last one, in order", "[log][flood]") {
  LiveSystem system(with_puppet({.log = {.file_size = Bytes::mib(4), .files = 100}}), k_captured);
  Self& self = system.self();
  constexpr std::int64_t k_lines = 300'000;
  count(self, 0, k_lines);
  next<bool, "done">(self);
  const auto file = system.folder() / "logs" / "puppet.log";
  wait_for_line(file, "line " + std::to_string(k_lines - 1));
  const auto lines = all_lines_of(file);
  REQUIRE(lines.size() == k_lines);
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < k_lines; ++i) wrong += lines[static_cast<std::size_t>(i)].text != "line " + std::to_string(i);
  CHECK(wrong == 0);
}

TEST_CASE("one who floods does not keep others from being heard", "[log][flood]") {
  LiveSystem system(supervisor(one_for_one, {100, 60s}, {{"flooder", +[](Self&) {
                                                            for (;;) std::puts("and another line of no use to anybody");
                                                          },
                                                          {.stop = kill, .log = {.file_size = Bytes::kib(256), .files = 2}}},
                                                         {"puppet", puppet}}),
                    k_captured);
  Self& self = system.self();
  for (int round = 0; round < 20; ++round) {
    tell(self, "print", "round " + std::to_string(round) + "\n");
    wait_for_line(system.folder() / "logs" / "puppet.log", "round " + std::to_string(round));
  }
}

TEST_CASE("a stopped broker stops nobody who prints", "[log]") {
  LiveSystem system(with_puppet({.log = {.file_size = Bytes::mib(64)}}), k_captured);
  Self& self = system.self();
  tell(self, "print", "before\n");  // the channels are open from here on
  system.broker().signal(SIGSTOP);
  wait_until_stopped(system.broker().os_pid());
  count(self, 0, 100'000);  // far more than a pipe holds
  next<bool, "done">(self);
  wait_for_line(system.folder() / "logs" / "puppet.log", "line 99999");
  system.broker().signal(SIGCONT);
}

TEST_CASE("any bytes and lines of any length are kept as they are", "[log]") {
  LiveSystem system(with_puppet(), k_captured);
  Self& self = system.self();
  const auto file = system.folder() / "logs" / "puppet.log";
  std::string bytes;
  for (int i = 0; i < 256; ++i)
    if (i != '\n') bytes += static_cast<char>(i);
  const std::string length(3 * wire::k_longest_line + 5, 'x');
  // Through a file: a message's text is to be UTF-8.
  const auto script = system.folder() / "bytes";
  std::ofstream(script, std::ios::binary) << bytes << '\n' << length << "\nend\n";
  const auto body = +[](Self& self) {
    const std::string path = self.args()["path"].as<std::string>();
    ::execlp("cat", "cat", path.c_str(), nullptr);
  };
  play(self, "cat", body, {.args = {{"path", script.string()}}});
  const auto spawned = system.folder() / "logs" / "spawned.log";
  wait_for_line(spawned, "end");
  const auto lines = lines_in(spawned);
  CHECK(lines.front().text == bytes);
  std::string joined;
  for (const auto& line : lines)
    if (line.text.starts_with("xxx")) joined += line.text;
  CHECK(joined == length);
  CHECK(std::count_if(lines.begin(), lines.end(), [](const auto& line) { return line.goes_on; }) == 3);
}

TEST_CASE("JSON lines hold the same", "[log]") {
  LiveSystem system(with_puppet({.log = {.format = LogFormat::json}}), k_captured);
  Self& self = system.self();
  const auto file = system.folder() / "logs" / "puppet.log";
  tell(self, "print", "a \"quoted\"\tword\n");
  tell(self, "log", "logged");
  wait_for_line(file, "logged");
  wait_for_line(file, "a \"quoted\"\tword");
  CHECK_THAT(contents(file), Contains(R"("stream": "out", "text": "a \"quoted\"\tword"})") && Contains(R"("level": "warn", "text": "logged"})"));
}

TEST_CASE("the level of a muproc's own log is its plan's", "[log]") {
  LiveSystem system(supervisor(one_for_one, {1, 60s}, {{"talker", +[](Self& self) {
                                                           self.log().debug("quietly");
                                                           self.log().info("loudly");
                                                           waits(self);
                                                         },
                                                         {.log = {.level = LogLevel::debug}}},
                                                        {"taciturn", +[](Self& self) {
                                                           self.log().warn("hardly");
                                                           self.log().error("badly");
                                                           waits(self);
                                                         },
                                                         {.log = {.level = LogLevel::error}}}}),
                    k_captured);
  wait_for_line(system.folder() / "logs" / "talker.log", "loudly");
  CHECK(lines_in(system.folder() / "logs" / "talker.log").front().text == "quietly");
  wait_for_line(system.folder() / "logs" / "taciturn.log", "badly");
  CHECK(lines_in(system.folder() / "logs" / "taciturn.log").size() == 1);
}

TEST_CASE("when the logger is killed another one takes over, and nobody who prints is harmed", "[log][death]") {
  LiveSystem system(with_puppet({.log = {.file_size = Bytes::mib(64)}}), k_captured);
  Self& self = system.self();
  const auto file = system.folder() / "logs" / "puppet.log";
  tell(self, "print", "before\n");
  wait_for_line(file, "before");
  const Pid pid = self.find("puppet");
  const pid_t logger = logger_of(system.broker().os_pid());
  SECTION("while all is quiet: nothing is lost") {
    ::kill(logger, SIGSTOP);
    tell(self, "print", "in the pipe\n");
    ::kill(logger, SIGKILL);
    tell(self, "print", "after\n");
    wait_for_line(file, "after");
    CHECK(lines_in(file).size() == 3);
    CHECK(lines_in(file)[1].text == "in the pipe");
  }
  SECTION("in a flood: what it had in hand, and nothing else") {
    count(self, 0, 200'000);
    ::kill(logger, SIGKILL);
    next<bool, "done">(self);
    wait_for_line(file, "line 199999");
    // Numbers go up, with one gap, and the line after the gap may lack its beginning.
    int gaps = 0;
    long last = -1;
    for (const auto& line : lines_in(file)) {
      if (!line.text.starts_with("line ")) continue;
      const long number = std::stol(line.text.substr(5));
      CHECK(number > last);
      gaps += number != last + 1;
      last = number;
    }
    CHECK(gaps <= 1);
  }
  CHECK(self.find("puppet") == pid);
  CHECK(logger_of(system.broker().os_pid()) != logger);
}

TEST_CASE("what a muproc's children print is heard under its name", "[log]") {
  LiveSystem system(with_puppet(), k_captured);
  Self& self = system.self();
  const auto [pid, ref] = self.spawn_monitor("parent", +[](Self& self) {
    std::fflush(stdout);
    const pid_t child = ::fork();
    if (child == 0) {
      ::setsid();
      [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, "from a child\n", 13);
      ::_exit(0);
    }
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    self.exit("done");
  });
  CHECK(reason_of(self, ref) == "done");
  wait_for_line(system.folder() / "logs" / "spawned.log", "from a child");
  CHECK(line_with(system.folder() / "logs" / "spawned.log", "from a child").name == "parent");
}

TEST_CASE("a log that cannot be written is told of once, others are written, and it goes on when it can be", "[log]") {
  LiveSystem system(supervisor(one_for_one, {100, 60s}, {{"puppet", puppet}, {"other", +[](Self& self) {
                                                            std::puts("other");
                                                            waits(self);
                                                          }}}),
                    k_captured);
  Self& self = system.self();
  const auto file = system.folder() / "logs" / "puppet.log";
  fs::create_symlink("/dev/full", file);
  for (int i = 0; i < 5; ++i) tell(self, "print", "lost\n");
  system.broker().wait_for_output("puppet.log cannot be written, lines are lost: ");
  wait_for_line(system.folder() / "logs" / "other.log", "other");
  fs::remove(file);
  wait_until("the log to be written again", [&] {
    tell(self, "print", "again\n");
    return fs::exists(file) && contents(file).find("again") != std::string::npos;
  });
  system.broker().wait_for_output("puppet.log is written again; up to ");
  CHECK_THAT(contents(file), Contains("lines are missing here"));
  const std::string output = system.broker().output();
  CHECK(output.find("cannot be written") == output.rfind("cannot be written"));
}

TEST_CASE("a console that has stopped stops neither those who print nor the broker", "[log]") {
  const fs::path folder = std::getenv("MUPROC_RUNTIME_DIR");
  const auto config = folder / "stuck.toml", console = folder / "console";
  std::ofstream(config) << R"([system]
name = "stuck"
[supervisor.root]
children = ["printer"]
[muproc.printer]
exec  = ["sh", "-c", "i=0; while [ $i -lt 20000 ]; do echo a line of some length, number $i; i=$((i+1)); done; exec sleep 1000"]
plain = true
)";
  REQUIRE(::mkfifo(console.c_str(), 0600) == 0);
  const int reader = ::open(console.c_str(), O_RDWR | O_CLOEXEC);  // who never reads
  Process broker = Process::program({"sh", "-c", R"(exec "$0" run "$1" > "$2" 2>&1)", bin_dir() + "/mubroker", config.string(), console.string()});
  wait_for_line(folder / "stuck" / "logs" / "printer.log", "a line of some length, number 19999");
  Process shutdown = Process::program({bin_dir() + "/muctl", "-s", "stuck", "shutdown"});
  CHECK(shutdown.wait() == 0);
  CHECK(broker.wait() == 0);
  ::close(reader);
  nobody_is_left();
}

TEST_CASE("the last words of those who lose their broker are kept", "[log][death]") {
  LiveSystem system(supervisor(one_for_one, {1, 60s}, {{"mourner", +[](Self& self) {
                                                           struct LastWords {
                                                             ~LastWords() { std::puts("farewell"); }
                                                           } words;
                                                           waits(self);
                                                         }}}),
                    k_captured);
  system.leave();
  system.kill_broker();
  nobody_is_left();
  CHECK(line_with(system.folder() / "logs" / "mourner.log", "farewell").word == "out");
}

TEST_CASE("muctl log shows the last lines, and follows over rotation and restarts", "[log][muctl]") {
  LiveSystem system(with_puppet({.log = {.file_size = Bytes::kib(4), .files = 50}}), k_captured);
  Self& self = system.self();
  const auto muctl = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {bin_dir() + "/muctl", "-s", system.name()});
    return Process::program(std::move(words));
  };
  count(self, 0, 100);
  next<bool, "done">(self);
  wait_for_line(system.folder() / "logs" / "puppet.log", "line 99");
  Process follower = muctl({"log", "puppet", "-n", "2", "-f"});
  follower.wait_for_output(": line 99");
  count(self, 100, 600);
  next<bool, "done">(self);
  const Pid pid = self.find("puppet");
  self.send("puppet", "die", true);
  wait_for_replacement(self, "puppet", pid);
  count(self, 600, 700);
  next<bool, "done">(self);
  follower.wait_for_output(": line 699\n");
  const std::string output = follower.output();
  std::size_t at = 0;
  for (int i = 98; i < 700; ++i) {
    at = output.find(": line " + std::to_string(i) + "\n", at);
    INFO("line " << i);
    REQUIRE(at != output.npos);
  }
  CHECK(output.find(": line 97\n") == output.npos);
  follower.signal(SIGTERM);
  follower.wait();

  Process last = muctl({"--json", "log", "puppet", "-n", "1"});
  CHECK(last.wait() == 0);
  CHECK_THAT(last.output(), Contains(R"("name": "puppet")") && Contains(R"("text": "line 699"})"));
  Process brokers = muctl({"log"});
  CHECK(brokers.wait() == 0);
  CHECK_THAT(brokers.output(), Contains("puppet") && Contains("is up: process"));
  Process nobodys = muctl({"log", "pupet"});
  CHECK(nobodys.wait() == 1);
  CHECK_THAT(nobodys.output(), Contains("did you mean \"puppet\"?"));
  CHECK(system.stop() == 0);
  Process afterwards = muctl({"log", "puppet", "-n", "1"});  // the broker has gone
  CHECK(afterwards.wait() == 0);
  CHECK_THAT(afterwards.output(), Contains("line 699"));
}
