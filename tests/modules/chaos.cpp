// The inhabitants of the worlds of tests/chaos: they send numbered messages to each other by lot, watch each other, and hold
// what comes to what must come. What is wrong they tell the witness, which is the test; so they do with what it asks for.
#include <muproc/muproc.hpp>

#include <map>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

using namespace muproc;
using namespace std::chrono_literals;

namespace {

constexpr const char* k_witness = "witness";
constexpr std::size_t k_most_monitors = 20;

class Inhabitant {
 public:
  explicit Inhabitant(Self& self) : self_(self), dice_(self.pid().bits() * 0x9e3779b97f4a7c15u) {
    for (const Value& peer : self.args()["peers"].as<List>()) peers_.push_back(peer.as<std::string>());
    pause_ = std::chrono::milliseconds(self.args()["slow_ms"].as<int>());
    tell("born", self.name(), "pid", self.pid());
    self.ready();
  }

  void live() {
    for (;;)
      self_.receive(
          on<"n", "body">() >> [&](From from, std::int64_t n, std::string_view body) { got(from, n, body); },
          on<"terminated", "reason", "ref">() >> [&](Value, Value, std::int64_t ref) { was_told(ref); },
          on<"terminated", "reason">() >>
              [&](Value who, Reason reason) {
                if (who.is_nil()) self_.exit(reason);  // its supervisor's word
              },
          on<"hush">() >> [&](bool hush) { is_hushed_ = hush; }, on<"audit">() >> [&] { report(); },
          on<"end">() >> [&](std::string how) { end(how); },
          after(is_hushed_ ? 1h : std::chrono::nanoseconds(2ms)) >> [&] { act(); });
  }

 private:
  /// There may be no witness yet, or no more.
  template <class... What>
  void tell(const What&... what) {
    try {
      self_.send(k_witness, what...);
    } catch (const NoSuchName&) {
    }
  }

  std::uint64_t below(std::uint64_t most) { return dice_() % most; }
  /// So that a torn or foreign one is seen.
  static char letter(std::int64_t n) { return static_cast<char>('a' + n % 26); }

  void act() {
    if (peers_.empty()) return;
    const Pid to = self_.find(peers_[below(peers_.size())]);
    if (!to || to == self_.pid()) return;
    if (below(20) == 0 && monitors_.size() < k_most_monitors) {
      monitors_[static_cast<std::int64_t>(self_.monitor(to).bits)] = to;
    } else if (below(40) == 0 && !monitors_.empty()) {
      self_.demonitor(Ref{static_cast<std::uint64_t>(monitors_.begin()->first)}, true);
      taken_back_.insert(monitors_.begin()->first);
      monitors_.erase(monitors_.begin());
    } else {
      for (std::uint64_t i = 1 + below(4); i > 0; --i) send(to);
    }
  }

  void send(Pid to) {
    const std::int64_t n = sent_[to] + 1;
    const std::size_t size = below(50) == 0 ? 50'000 + below(100'000) : below(300);
    if (self_.send_within(100ms, to, "n", n, "body", std::string(size, letter(n)))) sent_[to] = n;
  }

  void got(Pid from, std::int64_t n, std::string_view body) {
    if (n != got_[from] + 1)
      complain("number " + std::to_string(n) + " from " + to_string(from) + " after " + std::to_string(got_[from]));
    got_[from] = n;
    if (body.find_first_not_of(letter(n)) != body.npos)
      complain("number " + std::to_string(n) + " from " + to_string(from) + " is torn");
    if (pause_.count() > 0) self_.sleep(pause_);
  }

  void was_told(std::int64_t ref) {
    if (monitors_.erase(ref) == 0)
      complain(taken_back_.contains(ref) ? "told of a monitor that was taken back"
                                         : "told twice, or of nobody's monitor");
  }

  void complain(const std::string& what) {
    tell("breach", self_.name() + " " + to_string(self_.pid()) + ": " + what);
  }

  static List pairs(const std::map<Pid, std::int64_t>& numbers) {
    List list;
    for (const auto& [pid, n] : numbers) list.push_back(Mumsg{{"pid", pid}, {"n", n}});
    return list;
  }

  void report() {
    List watched;
    for (const auto& [ref, pid] : monitors_) watched.push_back(pid);
    tell(Mumsg{{"report", self_.pid()}, {"sent", pairs(sent_)}, {"got", pairs(got_)}, {"watched", watched}});
  }

  void end(const std::string& how) {
    if (how == "return") self_.exit(Reason::normal());
    if (how == "throw") throw std::runtime_error("as it was told to");
    std::vector<std::string> hoard;  // until there is no more
    for (;;) hoard.emplace_back(1 << 20, 'm');
  }

  Self& self_;
  std::mt19937_64 dice_;
  std::vector<std::string> peers_;
  std::chrono::milliseconds pause_{};
  bool is_hushed_ = false;
  std::map<Pid, std::int64_t> sent_, got_;
  std::map<std::int64_t, Pid> monitors_;
  std::set<std::int64_t> taken_back_;
};

}  // namespace

void inhabitant(Self& self) { Inhabitant(self).live(); }
MUPROC_ENTRY(inhabitant)
