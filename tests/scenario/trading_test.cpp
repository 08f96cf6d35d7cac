// The trading example: a day of trading during which everybody is killed, at random, by SIGKILL to their process.
//
// MUPROC_TEST_SEED repeats the same kills (not the same moments: those are the kernel's). MUPROC_TRADING_SECONDS makes
// the day longer, 60 for the form that issues ask for.
#include <muproc/muproc.hpp>
#include <muproc/supervisor.hpp>

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "support/paths.hpp"
#include "support/random.hpp"
#include "support/system_fixture.hpp"
#include "support/waiting.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> k_all = {"ledger",     "auditor",        "logger", "book",    "exchange",
                                        "feed-paris", "feed-amsterdam", "risk",   "gateway", "momentum",
                                        "reversion",  "dice",           "day",    "chaos"};
const std::vector<std::string> k_feeds = {"feed-paris", "feed-amsterdam"};
const std::vector<std::string> k_strategies = {"momentum", "reversion", "dice"};

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string made = (fs::temp_directory_path() / "muproc-trading-test-XXXXXX").string();
    REQUIRE(::mkdtemp(made.data()) != nullptr);
    path = made;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  fs::path path;
};

/// What the auditor says.
struct Audit {
  bool balanced = false, settled = false;
  std::int64_t executions = 0;
  std::string text;  // its differences and its table
};

/// The example as a user launches it, with its books in a folder of the test's.
class TradingDay {
 public:
  explicit TradingDay(const fs::path& books, std::uint64_t seed, int seconds = 3600)
      : broker_(Process::program({bin_dir() + "/mubroker", "run", examples_dir() + "/trading/trading.toml", "--set",
                                  "STATE=" + books.string(), "--set", "SEED=" + std::to_string(seed), "--set",
                                  "SECONDS=" + std::to_string(seconds), "--set", "KILLS=0"},
                                 {{"MUPROC_MODULE_PATH", module_dir()},
                                  {"MUPROC_RUNTIME_DIR", runtime_dir_.path.string()},
                                  // A sanitizer reports a crash and exits; strategies are to die of theirs.
                                  {"ASAN_OPTIONS", "handle_segv=0:handle_sigfpe=0"},
                                  {"TSAN_OPTIONS", "handle_segv=0:handle_sigfpe=0"}})) {}

  void join() {
    wait_until("the trading system to come up", [&] {
      if (!broker_.running()) FAIL("it has ended with " << broker_.wait());
      try {
        attachment_.emplace(attach((runtime_dir_.path / "trading").string(), {.name = "tester"}));
      } catch (const Error&) {
        // not yet
      }
      return attachment_.has_value();
    });
  }
  Self& self() { return **attachment_; }
  Process& broker() { return broker_; }

  std::map<std::string, Pid> everybody() {
    std::map<std::string, Pid> pids;
    for (const std::string& name : k_all) pids[name] = wait_for_name(self(), name);
    return pids;
  }

  /// SIGKILL to the process that has that name now; returns when its death is known.
  void kill(const std::string& name) {
    const Pid victim = wait_for_name(self(), name);
    for (const MuprocInfo& info : self().list())
      if (info.pid == victim) ::kill(info.os_pid, SIGKILL);
    wait_until("the end of " + name, [&] { return !self().alive(victim); });
  }

  /// As `muctl call auditor cmd=balance`; again when the auditor is killed meanwhile.
  Audit audit() {
    return *wait_until("the auditor to answer", [&]() -> std::optional<Audit> {
      const Pid auditor = wait_for_name(self(), "auditor");
      const Ref ref = self().monitor(auditor);
      self().send(auditor, "cmd", "balance");
      std::optional<Audit> audit;
      bool ended = false;
      while (!audit && !ended)
        self().receive(
            on<"balanced", "settled", "executions", "differences", "table">() >>
                [&](From from, bool balanced, bool settled, std::int64_t executions, List differences,
                    std::string table) {
                  // An answer of an earlier one says nothing about now.
                  if (from == auditor)
                    audit = {balanced, settled, executions, to_string(Value(differences)) + '\n' + table};
                },
            on<"terminated", "ref">(anything, is(static_cast<std::int64_t>(ref.bits))) >> [&] { ended = true; },
            or_fail("the auditor's answer, or its end"));
      self().demonitor(ref, true);
      return audit;
    });
  }

  void wait_until_traded(std::int64_t executions) {
    wait_until(std::to_string(executions) + " executions", [&] { return audit().executions >= executions; });
  }

  /// Closes the day, and waits for the end of the system, which comes when the books are settled. All that it printed.
  std::string close() {
    self().send(wait_for_name(self(), "day"), "cmd", "close");
    return wait_for_the_end();
  }
  std::string wait_for_the_end() {
    const int code = broker_.wait();
    attachment_.reset();
    nobody_is_left();
    const std::string output = broker_.output();
    INFO(output);
    CHECK(code == 0);
    return output;
  }

 private:
  TemporaryFolder runtime_dir_;
  Process broker_;
  std::optional<Attachment> attachment_;
};

// ---- the books, read by the test itself ------------------------------------------------------------------------------

std::vector<std::string> lines_of(const fs::path& file) {
  std::vector<std::string> lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

void write_lines(const fs::path& file, const std::vector<std::string>& lines) {
  std::ofstream out(file, std::ios::trunc);
  for (const std::string& line : lines) out << line << '\n';
}

std::vector<std::string> executions_in(const fs::path& file) {
  std::vector<std::string> lines = lines_of(file);
  std::erase_if(lines, [](const std::string& line) { return !line.starts_with("execution "); });
  std::ranges::sort(lines);
  return lines;
}

struct Account {
  std::int64_t executions = 0, cash = 0;
};
std::map<std::string, Account> accounts_in(const std::vector<std::string>& executions) {
  std::map<std::string, Account> accounts;
  for (const std::string& line : executions) {
    std::istringstream words(line);
    std::string kind, strategy, symbol;
    std::int64_t number = 0, quantity = 0, price = 0;
    words >> kind >> strategy >> number >> symbol >> quantity >> price;
    REQUIRE(!words.fail());
    ++accounts[strategy].executions;
    accounts[strategy].cash -= quantity * price;
  }
  return accounts;
}

/// A row of the table that the day prints: how many orders, and the cash in cents.
Account printed(const std::string& output, const std::string& row) {
  std::smatch match;
  const std::regex pattern(row + R"( +(\d+)[ \d-]* (-?)(\d+)\.(\d\d)\n)");
  INFO(row << " in\n" << output);
  REQUIRE(std::regex_search(output, match, pattern));
  const std::int64_t cents = std::stoll(match[3].str() + match[4].str());
  return {std::stoll(match[1]), match[2].length() ? -cents : cents};
}

void check_the_books(const std::string& output, const fs::path& books) {
  INFO(output.substr(output.size() - std::min<std::size_t>(output.size(), 4000)));
  CHECK(output.find("The books balance: the exchange, the ledger and the strategies agree.") != output.npos);
  CHECK(output.find("WRONG") == output.npos);
  const auto exchange = executions_in(books / "exchange");
  CHECK(exchange == executions_in(books / "ledger"));
  CHECK(std::ranges::adjacent_find(exchange) == exchange.end());
  Account all;
  for (const auto& [strategy, account] : accounts_in(exchange)) {
    INFO(strategy);
    CHECK(printed(output, strategy).executions == account.executions);
    CHECK(printed(output, strategy).cash == account.cash);
    all.executions += account.executions;
    all.cash += account.cash;
  }
  for (const std::string row : {"= strategies", "= ledger", "= exchange"}) {
    CHECK(printed(output, row).executions == all.executions);
    CHECK(printed(output, row).cash == all.cash);
  }
}

std::chrono::milliseconds length_of_the_day() {
  const char* set = std::getenv("MUPROC_TRADING_SECONDS");
  return set ? std::chrono::seconds(std::atoi(set)) : 3000ms;
}

}  // namespace

TEST_CASE("a trading system whose muprocs are all killed at random ends its day with its books balanced",
          "[examples][trading]") {
  Random random;
  INFO(random.how_to_repeat());
  const TemporaryFolder books;
  TradingDay trading(books.path, 1 + random.below(1'000'000'000));
  trading.join();
  const auto first = trading.everybody();
  wait_for_replacement(trading.self(), "momentum", first.at("momentum"));  // of its own bug

  const auto end = std::chrono::steady_clock::now() + length_of_the_day();
  int kills = 0, audits = 0;
  do {
    auto victims = k_all;
    for (std::size_t i = victims.size(); i > 1; --i) std::swap(victims[i - 1], victims[random.below(i)]);
    for (const std::string& victim : victims) {
      trading.kill(victim);
      ++kills;
      trading.self().sleep(std::chrono::milliseconds(random.below(60)));
      if (!random.one_in(6)) continue;
      const Audit audit = trading.audit();
      INFO(audit.text);
      CHECK(audit.balanced);  // in the middle of all that
      ++audits;
    }
  } while (std::chrono::steady_clock::now() < end);

  for (const auto& [name, pid] : first) wait_for_replacement(trading.self(), name, pid);
  trading.wait_until_traded(trading.audit().executions + 100);
  const std::string output = trading.close();
  check_the_books(output, books.path);
  WARN(kills << " kills, " << audits << " audits, " << printed(output, "= ledger").executions << " orders");
}

TEST_CASE("the auditor finds what is wrong between the exchange and the ledger", "[examples][trading]") {
  const TemporaryFolder books;
  {
    TradingDay trading(books.path, 1);
    trading.join();
    trading.wait_until_traded(50);
    check_the_books(trading.close(), books.path);
  }
  const auto exchange = lines_of(books.path / "exchange"), ledger = lines_of(books.path / "ledger");
  std::string expected;

  SECTION("a cent") {
    auto doctored = exchange;
    std::string& line = doctored[doctored.size() / 2];
    line.back() = line.back() == '9' ? '0' : static_cast<char>(line.back() + 1);
    write_lines(books.path / "exchange", doctored);
    expected = "WRONG: the ledger has: " + exchange[exchange.size() / 2] + "; the exchange: " + line;
  }
  SECTION("an execution that the exchange does not know") {
    auto doctored = exchange;
    doctored.erase(doctored.begin() + 20);
    write_lines(books.path / "exchange", doctored);
    expected = "WRONG: the ledger has what the exchange has not: " + exchange[20];
  }
  SECTION("an execution of what was no order of ours") {
    auto doctored = exchange;
    doctored.push_back("execution dice 1000000 AIR.PA 1 10000");
    write_lines(books.path / "exchange", doctored);
    expected = "WRONG: the exchange has executed what was no order: " + doctored.back();
  }
  // The same books again: the day is closed, so all that is done is the audit.
  TradingDay again(books.path, 1);
  const std::string output = again.wait_for_the_end();
  INFO(output);
  CHECK(output.find(expected) != output.npos);
  CHECK(output.find("The books do NOT balance.") != output.npos);
}

TEST_CASE("the auditor finds a strategy that believes to own something else than the ledger says",
          "[examples][trading]") {
  const TemporaryFolder books;
  TradingDay trading(books.path, 1);
  trading.join();
  Self& self = trading.self();
  trading.wait_until_traded(50);
  for (const std::string& feed : k_feeds) terminate_child(self, "market", feed);  // no quotes, no trades
  wait_until("the books to be settled", [&] { return trading.audit().settled; });

  // A cent more in both files, behind everybody's back.
  const auto believes = self.find("momentum");
  terminate_child(self, "root", "ledger");
  terminate_child(self, "market", "exchange");
  const auto executions = executions_in(books.path / "exchange");
  const auto changed = std::ranges::find_if(executions, [](const std::string& line) {
    return line.starts_with("execution momentum ") && !line.ends_with(" 0 0") && !line.ends_with("9");
  });
  REQUIRE(changed != executions.end());
  for (const char* name : {"exchange", "ledger"}) {
    auto lines = lines_of(books.path / name);
    for (std::string& line : lines)
      if (line == *changed) ++line.back();
    write_lines(books.path / name, lines);
  }
  restart_child(self, "root", "ledger");
  restart_child(self, "market", "exchange");

  const Audit audit = trading.audit();
  INFO(audit.text);
  REQUIRE(self.find("momentum") == believes);
  CHECK_FALSE(audit.balanced);
  CHECK(audit.text.find("momentum has heard of ") != audit.text.npos);

  // A strategy that begins anew believes the ledger.
  trading.kill("momentum");
  wait_until("the new one to be heard", [&] { return trading.audit().balanced; });
  CHECK(trading.close().find("The books balance") != std::string::npos);
}
