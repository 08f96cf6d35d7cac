// mutop without a terminal: numbers, rows, pages and keys.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "support/catch.hpp"
#include "support/paths.hpp"
#include "tools/mutop/app.hpp"
#include "tools/mutop/batch.hpp"
#include "tools/mutop/help.hpp"
#include "tools/mutop/rows.hpp"
#include "tools/mutop/words.hpp"

using namespace muproc;
using namespace muproc::mutop;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using shm::SlotKind;
using shm::SlotState;
using tools::MuprocView;
using tools::Snapshot;

namespace {

class FakeWorld : public World {
 public:
  bool is_answering() const override { return answers; }
  const std::deque<EventLine>& events() const override { return event_lines; }
  std::vector<CrashLine> crashes() override {
    return {{"2026-01-02 03:04:05.678901", "book", "signal SIGSEGV", "/crash"}};
  }
  std::vector<std::string> crash_text(const CrashLine&) override {
    return {"muproc  book", "#0 main () at book.cpp:12"};
  }
  void ask_about(const std::string& name) override { asked.push_back(name); }
  std::optional<Facts> facts(const std::string&) const override {
    return answers ? std::optional(Facts{{{"links", "ledger"}, {"code", "libbook.so:book"}}, 0}) : std::nullopt;
  }
  std::vector<std::string> ports(Pid) const override { return {"quotes"}; }
  std::vector<tools::WaitingMessage> waiting(Pid) const override {
    return {{Pid(0, 2, 1), 3s, "message", "cmd=:square x=3"}};
  }
  const std::deque<std::string>& log_tail(const std::string&) override { return log; }
  std::string trace(const std::string& name) override {
    traced_name = name;
    return {};
  }
  const std::deque<std::string>& traced() const override { return traced_lines; }
  std::string trace_sums() const override { return "2 seen, none missed"; }
  void act(const Action& action) override { acted.push_back(title(action)); }
  std::vector<std::pair<std::string, bool>> take_results() override { return std::exchange(results, {}); }

  bool answers = true;
  std::deque<EventLine> event_lines = {{1, 1, "birth", "book", "libbook.so:book", Pid(0, 3, 1)},
                                       {2, 2, "death", "book", "it has ended: killed", Pid(0, 3, 1)}};
  std::deque<std::string> log = {"12:00 info book[7]: opened"},
                          traced_lines = {"feed -> book  bid=1", "book -> feed  ask=2"};
  std::vector<std::string> asked, acted;
  std::string traced_name = "nobody";
  std::vector<std::pair<std::string, bool>> results;
};

MuprocView supervisor_view(std::uint32_t slot, std::string name, std::uint32_t parent) {
  MuprocView view;
  view.slot = slot;
  view.name = std::move(name);
  view.pid = Pid(0, slot, 1);
  view.kind = SlotKind::supervisor;
  view.state = SlotState::running;
  view.parent = parent;
  view.supervision = tools::SupervisionView{"one_for_one", 2, 5s, 1};
  return view;
}

MuprocView muproc_view(std::uint32_t slot, std::string name, std::uint32_t parent) {
  MuprocView view;
  view.slot = slot;
  view.name = std::move(name);
  view.pid = Pid(0, slot, 1);
  view.os_pid = 4000 + static_cast<int>(slot);
  view.state = SlotState::running;
  view.parent = parent;
  view.up_for = 90s;
  view.status = tools::MuprocStatus();
  view.status->activity = shm::Activity::receiving;
  return view;
}

/// root ── feed, inner ── book, log
Snapshot small_system() {
  Snapshot now;
  now.taken = 100s;
  now.system = "area";
  now.broker_os_pid = 4711;
  now.up_for = 2h;
  now.muprocs = {supervisor_view(0, "root", tools::k_no_parent), supervisor_view(1, "inner", 0),
                 muproc_view(2, "feed", 0), muproc_view(3, "book", 1), muproc_view(4, "log", 1)};
  MuprocView& book = now.muprocs[3];
  book.mailbox = {1, 950, 250'000, 262'144, false, 0.95, 2s};
  book.status->in_hand_depth = 1;
  book.status->in_hand = {{Pid(0, 2, 1), 7, 1, 4s}};
  book.restarts = 3;
  book.last_exit = "signal SIGSEGV";
  MuprocView& feed = now.muprocs[2];
  feed.status->activity = shm::Activity::sending;
  feed.status->blocked_on = book.pid;
  MuprocView& log = now.muprocs[4];
  log.pid = {};
  log.os_pid = 0;
  log.status.reset();
  log.up_for.reset();
  log.state = SlotState::backing_off;
  log.due_in = 12s;
  tools::ChannelView channel;
  channel.from = feed.pid;
  channel.to = book.pid;
  channel.ring_size = 262'144;
  channel.waiting = 950;
  channel.waiting_bytes = 250'000;
  channel.oldest = 2s;
  channel.is_known = true;
  now.channels = {channel};
  return now;
}

tools::Sample sample_of(Snapshot now) {
  tools::Sample sample;
  sample.now = std::make_shared<const Snapshot>(std::move(now));
  sample.span = 1s;
  sample.muprocs.resize(sample.now->muprocs.size());
  sample.channels.resize(sample.now->channels.size());
  for (std::size_t i = 0; i < sample.muprocs.size(); ++i) {
    sample.muprocs[i].cpu = static_cast<double>(i);
    sample.muprocs[i].resident = 1'000'000 * (10 - i);
    sample.muprocs[i].user = i % 2 == 0 ? "root" : "trader";
  }
  return sample;
}

std::vector<std::string> names_of(const Model& model, const std::vector<Row>& rows) {
  std::vector<std::string> names;
  for (const Row& row : rows)
    names.push_back(row.branch + model.now().muprocs[row.index].name + (row.is_folded ? "+" : ""));
  return names;
}

struct Screen {
  explicit Screen(Settings settings = {}, Snapshot now = small_system()) : app(world, settings) {
    app.update(sample_of(std::move(now)));
  }

  Screen& press(std::string_view keys) {
    for (const char c : keys)
      app.handle(c == '\n'     ? Key{Key::Kind::enter}
                 : c == '\x1b' ? Key{Key::Kind::escape}
                               : Key::character(std::string(1, c)));
    return *this;
  }
  Screen& press(const Key& key) {
    app.handle(key);
    return *this;
  }
  std::vector<std::string> lines(int rows = 24, int columns = 80) { return app.draw(rows, columns).lines(); }
  std::string text(int rows = 24, int columns = 80) {
    std::string text;
    for (const std::string& line : lines(rows, columns)) text += line + '\n';
    return text;
  }
  /// The line with that text.
  std::string line(std::string_view part) {
    for (const std::string& line : lines())
      if (line.find(part) != line.npos) return line;
    return "none has \"" + std::string(part) + "\":\n" + text();
  }

  FakeWorld world;
  App app;
};

}  // namespace

TEST_CASE("numbers and times take five columns at most", "[mutop]") {
  CHECK(short_count(0) == "0");
  CHECK(short_count(7) == "7");
  CHECK(short_count(0.5) == "0.5");
  CHECK(short_count(999) == "999");
  CHECK(short_count(12'345) == "12.3k");
  CHECK(short_count(999'999) == "1.0M");
  CHECK(short_bytes(0) == "0");
  CHECK(short_bytes(512) == "512B");
  CHECK(short_bytes(1536) == "1.5K");
  CHECK(short_bytes(120 << 20) == "120M");
  CHECK(short_percent(99.96) == "100");
  CHECK(short_time(12us) == "12us");
  CHECK(short_time(850ms) == "850ms");
  CHECK(short_time(5300ms) == "5.3s");
  CHECK(short_time(3h + 10min) == "3h10");
  for (double value = 0.001; value < 1e24; value *= 1.7) {
    CHECK(width_of(short_count(value)) <= 5);
    CHECK(width_of(short_bytes(value)) <= 5);
    if (value < 9e18) CHECK(width_of(short_time(std::chrono::nanoseconds(static_cast<std::int64_t>(value)))) <= 5);
    CHECK(width_of(short_percent(value)) <= 5);
  }
}

TEST_CASE("a mailbox's bar shows how full it is and how full it was", "[mutop]") {
  CHECK(fill_bar(0.5, 0.8, 12, true) == "[#####  ^  ]");
  CHECK(fill_bar(0, 0, 6, true) == "[    ]");
  CHECK(fill_bar(1, 1, 6, true) == "[####]");
  CHECK(fill_bar(0.01, 0.01, 6, true) == "[#   ]");  // something is never shown as nothing
  CHECK(fill_bar(17, -3, 6, false) == "[████]");
}

TEST_CASE("a line of the past has its latest value to the right, and a plot as many lines as asked for", "[mutop]") {
  CHECK(sparkline({0, 4, 8}, 5, false) == "   ▄█");
  CHECK(sparkline({1, 2, 3, 4}, 2, true) == "=#");
  CHECK(sparkline({}, 3, false) == "   ");
  const auto lines = plot({0, 5, 10}, 3, 2, false);
  CHECK(lines == std::vector<std::string>{"  █", " ██"});
}

TEST_CASE("what is drawn beyond the grid is cut off, and wide characters take two cells", "[mutop]") {
  Grid grid(2, 10);
  grid.put(0, 0, "0123456789abc");
  grid.put(1, 2, "日本語です");
  grid.put(5, 0, "nowhere");
  grid.put(0, 20, "nowhere");
  CHECK(grid.lines() == std::vector<std::string>{"012345678…", "  日本語…"});
  CHECK(width_of("é") == 1);
  CHECK(width_of("e\u0301") == 1);
  grid.put_right(1, 0, "ab", Ink::plain, 4);
  CHECK(grid.lines()[1].starts_with("  ab"));
}

TEST_CASE("the tree has supervisors above their children, and folds", "[mutop]") {
  Model model;
  model.update(sample_of(small_system()));
  TableOptions options;
  CHECK(names_of(model, rows_of(model, options, false)) ==
        std::vector<std::string>{"root", "├─ inner", "│  ├─ book", "│  └─ log", "└─ feed"});
  options.folded = {"inner"};
  CHECK(names_of(model, rows_of(model, options, true)) == std::vector<std::string>{"root", "|- inner+", "`- feed"});
  options.folded = {};
  options.filter = "BOO|nobody";
  CHECK(names_of(model, rows_of(model, options, true)) == std::vector<std::string>{"root", "`- inner", "   `- book"});
  options.filter = "";
  options.supervisor = "inner";
  CHECK(rows_of(model, options, true).size() == 4);  // with root, which it is below
}

TEST_CASE("a list is sorted by a column, and inverted", "[mutop]") {
  Model model;
  model.update(sample_of(small_system()));
  TableOptions options;
  options.is_tree = false;
  options.sort = Column::cpu;
  CHECK(names_of(model, rows_of(model, options, true)).front() == "log");
  options.is_inverted = true;
  CHECK(names_of(model, rows_of(model, options, true)).front() == "root");
  options.is_inverted = false;
  options.sort = Column::state;  // who needs a look comes first
  CHECK(names_of(model, rows_of(model, options, true)).front() == "log");
  options.sort = Column::mailbox;
  CHECK(names_of(model, rows_of(model, options, true)).front() == "book");
  options.user = "trader";
  CHECK(names_of(model, rows_of(model, options, true)) == std::vector<std::string>{"book", "inner"});
  for (const ColumnInfo& info : all_columns()) {
    options = {};
    options.is_tree = false;
    options.sort = info.column;
    auto rows = names_of(model, rows_of(model, options, true));
    std::sort(rows.begin(), rows.end());
    CHECK(rows == std::vector<std::string>{"book", "feed", "inner", "log", "root"});
  }
}

TEST_CASE("parents that go in circles are shown, once each, and lead nowhere", "[mutop]") {
  Snapshot now = small_system();
  now.muprocs[0].parent = 1;  // root below inner, which is below root
  Model model;
  model.update(sample_of(std::move(now)));
  for (const char* folded : {"", "inner"}) {
    TableOptions options;
    if (*folded) options.folded = {folded};
    CHECK(rows_of(model, options, true).size() <= 5);
  }
  CHECK(rows_of(model, {}, true).size() == 5);
}

TEST_CASE("at 80 by 24 the screen has the header, the tabs, the tree and the keys", "[mutop]") {
  Screen screen;
  const auto lines = screen.lines();
  REQUIRE(lines.size() == 24);
  CHECK(lines[0] == " area  broker 4711  up 2h");
  CHECK(lines[1] == " 3 muprocs  2 up  1 backing off  restarts 0 in 1m, 0 in 1h");
  CHECK_THAT(lines[3], Contains("[1 Muprocs]   2 Mailboxes  3 Crashes    4 Events"));
  CHECK_THAT(lines[4],
             Contains("NAME") && Contains("OSPID") && Contains("STATE") && Contains("MAILBOX") && Contains("WAIT"));
  CHECK_THAT(lines[5], Contains("root") && Contains("one_for_one, 1 of 2 in 5s"));
  CHECK_THAT(lines[7], Contains("│  ├─ book") && Contains("4003") && Contains(". receiving") && Contains("3") &&
                           Contains("█]!") && Contains("950"));
  CHECK_THAT(lines[8], Contains("~ back-off 12s"));
  CHECK_THAT(lines[9], Contains("B blocked:book"));
  CHECK_THAT(lines[23], Contains("F1Help") && Contains("F10Quit"));
  for (const std::string& line : lines) CHECK(width_of(line) <= 80);
}

TEST_CASE("at 200 by 50 all columns are there", "[mutop]") {
  Screen screen;
  const auto lines = screen.lines(50, 200);
  REQUIRE(lines.size() == 50);
  for (const ColumnInfo& info : all_columns()) CHECK_THAT(lines[4], Contains(std::string(info.heading)));
  CHECK_THAT(lines[7], Contains("signal SIGSEGV"));
  for (const std::string& line : lines) CHECK(width_of(line) <= 200);
}

TEST_CASE("no size of the terminal is too much for it", "[mutop]") {
  Screen screen;
  screen.press("1");
  for (const std::string_view keys : {"", "\n", "\x1b", "h", "\x1b", "2", "3", "\n", "\x1b", "4", "1"}) {
    screen.press(keys);
    for (const int rows : {0, 1, 2, 5, 7, 8, 24, 200})
      for (const int columns : {0, 1, 5, 19, 20, 40, 80, 500}) {
        const auto lines = screen.lines(rows, columns);
        CHECK(static_cast<int>(lines.size()) == rows);
        CHECK(std::all_of(lines.begin(), lines.end(),
                          [columns](const std::string& line) { return width_of(line) <= columns; }));
      }
  }
}

TEST_CASE("ASCII means ASCII, on every page", "[mutop]") {
  Screen screen({.ascii = true, .allow_actions = true});
  for (const std::string_view keys :
       {"", "k", "\x1b", "u", "\x1b", "\n", "\x1b", "h", "\x1b", "s", "\x1b", "2", "3", "4"}) {
    const std::string text = screen.press(keys).text();
    CHECK(std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
  }
}

TEST_CASE("names that hold terminal sequences are harmless", "[mutop]") {
  Snapshot now = small_system();
  now.muprocs[3].name = "\x1b[2J\n";
  now.muprocs[3].last_exit = "\x1b]0;x\a";
  Screen screen({}, std::move(now));
  for (const std::string_view keys : {"", "2", "1"})
    CHECK(screen.press(keys).text(24, 200).find('\x1b') == std::string::npos);
}

TEST_CASE("P M T N sort, I inverts, t goes back to the tree", "[mutop]") {
  Screen screen;
  CHECK_THAT(screen.press("P").lines()[4], Contains("CPU%v"));
  CHECK_THAT(screen.lines()[5], Contains("log"));
  CHECK_THAT(screen.press("I").lines()[4], Contains("CPU%^"));
  CHECK_THAT(screen.lines()[5], Contains("root"));
  CHECK_THAT(screen.press("IM").lines()[5], Contains("root"));
  CHECK_THAT(screen.press("N").lines()[4], Contains("OSPIDv"));
  CHECK_THAT(screen.press("T").lines(24, 200)[4], Contains("UPv"));
  CHECK_THAT(screen.press("t").line("book"), Contains("├─ book"));
}

TEST_CASE("search moves the cursor, and a filter leaves out the others", "[mutop]") {
  Screen screen;
  screen.press("/oo");
  CHECK_THAT(screen.lines()[23], Contains("Search: oo"));
  screen.press(Key::f(3));  // root, then book
  screen.press("\n\n");
  CHECK_THAT(screen.lines()[4], Contains("book <0.3.1>"));
  screen.press("\x1b");
  screen.press("\\fee");
  CHECK_THAT(screen.lines()[23], Contains("Filter: fee"));
  screen.press("\n");
  CHECK_THAT(screen.lines()[3], Contains("filter: fee"));
  CHECK_THAT(screen.text(), !Contains("─ book") && Contains("feed"));
  screen.press("\\\x1b");
  CHECK_THAT(screen.text(), Contains("book"));
  screen.press("/zzz");
  CHECK_THAT(screen.lines()[23], Contains("(nobody)"));
}

TEST_CASE("the cursor stays with whom it follows", "[mutop]") {
  Screen screen;
  screen.press("P");
  screen.press(Key{Key::Kind::down});  // book
  screen.press("F");
  auto sample = sample_of(small_system());
  sample.muprocs[3].cpu = 1000;  // it comes first now
  screen.app.update(std::move(sample));
  CHECK_THAT(screen.lines()[5], Contains("book"));
  screen.press("\n");
  CHECK_THAT(screen.lines()[4], Contains("book <0.3.1>"));
}

TEST_CASE("supervisors fold with - and unfold with +, and * does it to all", "[mutop]") {
  Screen screen;
  screen.press(Key{Key::Kind::down});
  screen.press("-");
  CHECK_THAT(screen.text(), !Contains("─ book"));
  screen.press("+");
  CHECK_THAT(screen.text(), Contains("book"));
  screen.press("*");
  CHECK_THAT(screen.text(), !Contains("─ book"));
  screen.press("*");
  screen.press(Key{Key::Kind::down});
  screen.press("-");  // on a leaf it folds what it is in
  CHECK_THAT(screen.text(), !Contains("─ book"));
}

TEST_CASE("Enter shows all about one, with what waits decoded, its log and its last crash", "[mutop]") {
  Screen screen;
  screen.press("/book\n\n");
  const std::string text = screen.text(60, 120);
  CHECK_THAT(text, Contains("book <0.3.1>  process 4003"));
  CHECK_THAT(text, Contains("supervisor") && Contains("inner"));
  CHECK_THAT(text, Contains("last exit") && Contains("signal SIGSEGV"));
  CHECK_THAT(text, Contains("ports") && Contains("quotes"));
  CHECK_THAT(text, Contains("in hand") && Contains("from feed, type 0x7"));
  CHECK_THAT(text, Contains("message from feed: cmd=:square x=3"));
  CHECK_THAT(text, Contains("links") && Contains("ledger"));
  CHECK_THAT(text, Contains("12:00 info book[7]: opened"));
  CHECK_THAT(text, Contains("Last crash") && Contains("book.cpp:12"));
  CHECK(screen.world.asked == std::vector<std::string>{"book"});
  screen.world.answers = false;
  CHECK_THAT(screen.text(60, 120), Contains("does not answer"));
  screen.press("\x1b");
  CHECK_THAT(screen.lines()[4], Contains("NAME"));
}

TEST_CASE("without --allow-actions the keys say so", "[mutop]") {
  Screen screen;
  for (const char* key : {"r", "d", "g", "k"}) {
    screen.press(key);
    CHECK_THAT(screen.lines()[22], Contains("start it with --allow-actions"));
  }
  CHECK(screen.world.acted.empty());
}

TEST_CASE("an action is done after a question that names its target, and a y", "[mutop]") {
  Screen screen({.allow_actions = true});
  screen.press("/book\nk");
  CHECK_THAT(screen.text(), Contains("kill book <0.3.1> (process 4003)"));
  screen.press("n");
  CHECK(screen.world.acted.empty());
  CHECK_THAT(screen.lines()[22], Contains("nothing was done"));
  screen.press("ky");
  CHECK(screen.world.acted == std::vector<std::string>{"kill book <0.3.1> (process 4003)"});
  screen.world.results = {{"done: kill book", true}};
  screen.app.look_around();
  CHECK_THAT(screen.lines()[22], Contains("done: kill book"));
}

TEST_CASE("an action is refused when another incarnation lives there by the time of the y", "[mutop]") {
  Screen screen({.allow_actions = true});
  screen.press("/book\nr");
  Snapshot now = small_system();
  now.muprocs[3].pid = Pid(0, 3, 2);
  now.muprocs[3].restarts = 4;
  screen.app.update(sample_of(std::move(now)));
  CHECK_THAT(screen.text(), Contains("not possible: book is not the one that was meant: it is <0.3.2> now"));
  screen.press("y");
  CHECK(screen.world.acted.empty());
  CHECK_THAT(screen.lines()[22], Contains("refused: book is not the one that was meant"));
}

TEST_CASE("a pause ends when there is a question, so that it is about what is so now", "[mutop]") {
  Screen screen({.allow_actions = true});
  screen.press("/book\nZ");
  Snapshot now = small_system();
  now.muprocs[3].pid = Pid(0, 3, 2);
  now.muprocs[3].restarts = 4;
  screen.app.update(sample_of(std::move(now)));
  CHECK_THAT(screen.lines()[0], Contains("PAUSED"));
  screen.press("k");
  CHECK_THAT(screen.lines()[0], !Contains("PAUSED"));
  screen.press("y");
  CHECK(screen.world.acted.empty());
}

TEST_CASE("what cannot be done is not even asked", "[mutop]") {
  Screen screen({.allow_actions = true});
  screen.press("d");  // root has no supervisor
  CHECK_THAT(screen.lines()[22], Contains("root has no supervisor that could stop it"));
  screen.press("/book\ng");
  CHECK_THAT(screen.lines()[22], Contains("book runs already"));
  screen.press("/log\nk");
  CHECK_THAT(screen.lines()[22], Contains("log is not running"));
  screen.press("gy");
  CHECK(screen.world.acted == std::vector<std::string>{"start log"});
}

TEST_CASE("actions are on all that are tagged", "[mutop]") {
  Screen screen({.allow_actions = true});
  screen.press("/book\n ");
  screen.press("/feed\n ");
  CHECK_THAT(screen.lines()[3], Contains("2 tagged"));
  screen.press("k");
  CHECK_THAT(screen.text(), Contains("kill book") && Contains("kill feed"));
  screen.press("y");
  CHECK(screen.world.acted.size() == 2);
  screen.press("U");
  CHECK_THAT(screen.lines()[3], !Contains("tagged"));
}

TEST_CASE("the mailboxes' tab says who sends to whom, and who is held up", "[mutop]") {
  Snapshot now = small_system();
  Screen screen({}, std::move(now));
  screen.press("2");
  CHECK_THAT(screen.line("feed"),
             Contains("book") && Contains("950") && Contains("256K") && Contains("2.0s") && Contains("]!"));
  CHECK_THAT(screen.press(Key::f(6)).lines()[4], Contains("OLDESTv"));
  CHECK_THAT(screen.press("I").lines()[4], Contains("OLDEST^"));
  CHECK_THAT(screen.press("\\zz\n").text(), Contains("no channel has such a name"));
  screen.press("\\\x1b\n");
  CHECK_THAT(screen.lines()[4], Contains("book <0.3.1>"));
}

TEST_CASE("the crashes' tab lists reports and Enter opens one", "[mutop]") {
  Screen screen;
  screen.press("3");
  CHECK_THAT(screen.line("SIGSEGV"), Contains("2026-01-02 03:04:05") && Contains("book"));
  CHECK_THAT(screen.press("\n").text(), Contains("#0 main () at book.cpp:12"));
}

TEST_CASE("the events' tab follows what comes, and says when the broker does not answer", "[mutop]") {
  Screen screen;
  screen.press("4");
  CHECK_THAT(screen.text(24, 120), Contains("death") && Contains("it has ended: killed"));
  screen.world.answers = false;
  CHECK_THAT(screen.lines()[4], Contains("the broker does not answer"));
  for (std::uint64_t number = 3; number < 100; ++number)
    screen.world.event_lines.push_back({number, 3, "birth", "latest", "x", {}});
  CHECK_THAT(screen.text(), Contains("latest"));
}

TEST_CASE("s shows messages as they pass until Esc", "[mutop]") {
  Screen screen;
  screen.press("/book\ns");
  CHECK(screen.world.traced_name == "book");
  CHECK_THAT(screen.text(), Contains("feed -> book  bid=1") && Contains("2 seen, none missed"));
  screen.press("\x1b");
  CHECK(screen.world.traced_name.empty());
}

TEST_CASE("a click selects, sorts by a heading, changes the tab, and presses a function key", "[mutop]") {
  Screen screen;
  screen.text();
  screen.press(Key::click(7, 3));
  screen.press("\n");
  CHECK_THAT(screen.lines()[4], Contains("book"));
  screen.press("\x1b");
  screen.text();
  screen.press(Key::click(3, 15));
  CHECK_THAT(screen.lines()[3], Contains("[2 Mailboxes]"));
  screen.press(Key::click(3, 2));
  const auto heading = static_cast<int>(screen.lines()[4].find("CPU%"));
  screen.press(Key::click(4, heading));
  CHECK_THAT(screen.lines()[4], Contains("CPU%v"));
  screen.press(Key::click(23, 0));
  CHECK_THAT(screen.text(), Contains("mutop's keys"));
}

TEST_CASE("a broker that is stopped, and a system that has ended, are said in the first line", "[mutop]") {
  Snapshot now = small_system();
  now.broker = tools::BrokerState::stopped;
  Screen screen({}, now);
  CHECK_THAT(screen.lines()[0], Contains("broker 4711 is STOPPED"));
  now.broker = tools::BrokerState::gone;
  screen.app.update(sample_of(now));
  CHECK_THAT(screen.lines()[0], Contains("the system has ENDED"));
  CHECK_THAT(screen.text(), Contains("book"));
}

TEST_CASE("q and F10 close what is open and then end mutop", "[mutop]") {
  Screen screen;
  screen.press("hq");
  CHECK_FALSE(screen.app.wants_to_quit());
  screen.press("\n");
  screen.press(Key::f(10));
  CHECK_FALSE(screen.app.wants_to_quit());
  screen.press("q");
  CHECK(screen.app.wants_to_quit());
}

TEST_CASE("a refresh for scripts is one line, whatever the names are", "[mutop]") {
  Snapshot now = small_system();
  now.muprocs[3].name = "two\nlines, \"quoted\"  and  \x1b\xff";
  Model model;
  model.update(sample_of(std::move(now)));
  const std::string json = json_of(model);
  CHECK(std::count(json.begin(), json.end(), '\n') == 1);
  CHECK(json.back() == '\n');
  CHECK_THAT(json, Contains(R"("name": "two\nlines, \"quoted\"  and  )"));
  CHECK_THAT(json, Contains(R"("due_in_seconds": 12)") && Contains(R"("fill": 0.95)") &&
                       Contains(R"("blocked_on": "<0.3.1>")"));
}

TEST_CASE("the reference and the manual page name every key of mutop's help", "[mutop]") {
  const auto contents = [](const std::string& file) {
    std::ifstream in(test::examples_dir() + "/../" + file);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const std::string reference = contents("docs/mutop.md"), manual = contents("share/man/man1/mutop.1");
  REQUIRE(reference.size() > 1000);
  REQUIRE(manual.size() > 1000);
  const std::set<std::string> arrows = {"Up", "Down", "Left", "Right", "PgUp", "PgDn", "Home", "End"};
  for (const KeyHelp& help : key_table()) {
    std::istringstream keys{std::string(help.keys)};
    for (std::string key; keys >> key;) {
      if (arrows.contains(key)) continue;
      INFO(key);
      CHECK(reference.find('`' + key + '`') != std::string::npos);
      // As mdoc has it: in a list of keys; a backslash is \e.
      const std::string in_manual = key == "\\" ? "\\e" : key;
      const bool is_named =
          manual.find(" " + in_manual) != std::string::npos || (key.size() == 1 && key[0] >= '2' && key[0] <= '3');
      CHECK(is_named);
    }
  }
}
