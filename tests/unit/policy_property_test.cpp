// The policy under random events, in a world that only knows which processes there are and which timers are armed.
//
// The world checks every action against what it sees, and keeps a count of its own of the deaths that must count.
// Every run's seed is printed when it fails; MUPROC_TEST_SEED=n runs that one alone.
#include <algorithm>
#include <cstdlib>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "broker/policy.hpp"
#include "support/catch.hpp"
#include "support/policy_text.hpp"

using namespace muproc;
using namespace muproc::broker;
using namespace std::chrono_literals;

namespace {

using Phase = SupervisorPolicy::Phase;

struct Cast {
  SupervisorRules supervisor;
  std::vector<ChildRules> children;
};

class World {
 public:
  World(std::uint64_t seed, bool with_requests)
      : random_(seed), with_requests_(with_requests), cast_(any_cast()), policy_(cast_.supervisor, cast_.children) {
    for (ChildKey key = 0; key < cast_.children.size(); ++key) rules_[key] = cast_.children[key];
  }

  void play(int steps) {
    apply(policy_.start(at()));
    for (int step = 0; step < steps && !over_; ++step) {
      now_ += std::chrono::milliseconds(pick(400));
      something_happens();
      check_rest();
    }
  }

  // From anywhere, a stop ends with nothing left.
  void close() {
    if (!over_) apply(one_in(4) ? policy_.kill_requested(at()) : policy_.stop_requested(at()));
    for (int step = 0; !over_ && step < 1000; ++step) {
      REQUIRE_FALSE(told_.empty());
      now_ += 1ms;
      one_in(5) && !processes_.empty() ? dies(any_of(processes_)) : dies(any_of(told_));
    }
    REQUIRE(over_);
    check_over();
  }

 private:
  enum class Process { starting, up };

  // The cast: who plays.
  Cast any_cast() {
    Cast cast;
    cast.supervisor.strategy = Strategy(pick(4));
    cast.supervisor.limit = {std::uint32_t(pick(6)), std::chrono::milliseconds(100 + pick(3000))};
    cast.supervisor.auto_shutdown = one_in(3) ? AutoShutdown(pick(3)) : never;
    if (cast.supervisor.strategy == simple_one_for_one) return cast;  // it begins with nobody
    for (std::uint64_t n = pick(6); n > 0; --n) cast.children.push_back(any_child(cast.supervisor.auto_shutdown));
    return cast;
  }
  ChildRules any_child(AutoShutdown auto_shutdown) {
    ChildRules child{.restart = one_in(2) ? permanent : Restart(pick(3))};
    if (one_in(2)) child.backoff.initial = std::chrono::milliseconds(pick(300));
    child.significant = auto_shutdown != never && child.restart != permanent && one_in(2);
    return child;
  }

  // Events.
  void something_happens() {
    if (with_requests_ && one_in(6)) return somebody_asks();
    if (!timers_.empty() && one_in(3)) return timer_fires(any_of(timers_));
    if (!processes_.empty()) {
      const ChildKey key = any_of(processes_);
      if (processes_[key] == Process::starting && !one_in(4)) return gets_ready(key);
      return dies(key);
    }
    if (one_in(50)) apply(policy_.stop_requested(at()));
  }

  void gets_ready(ChildKey key) {
    processes_[key] = Process::up;
    apply(policy_.child_started(key, at()));
  }

  void dies(ChildKey key) {
    const auto how = ExitClass(pick(3));
    const bool was_up = processes_.at(key) == Process::up;
    note_if_it_counts(key, how, was_up);
    processes_.erase(key);
    told_.erase(key);
    apply(was_up ? policy_.child_exited(key, how, at()) : policy_.child_start_failed(key, at()));
  }

  void timer_fires(ChildKey key) {
    timers_.erase(key);
    apply(policy_.timer_fired(key, at()));
  }

  void somebody_asks() {
    if (one_in(8)) {
      const ChildRules rules{.restart = Restart(pick(3))};
      const ChildKey added = policy_.add_child(rules);
      rules_[added] = rules;
      touched_.insert(added);
    }
    if (rules_.empty()) return;
    const ChildKey key = any_of(rules_);
    touched_.insert(key);
    switch (pick(4)) {
      case 0: return apply(policy_.start_child(key, at()).actions);
      case 1: return apply(policy_.terminate_child(key, at()).actions);
      case 2: return apply(policy_.restart_child(key, at()).actions);
      case 3: return apply(policy_.delete_child(key).actions);
    }
  }

  // A death in a quiet moment, of a child that comes back, surely counts. So the supervisor must not outlive more of
  // them than its limit allows.
  void note_if_it_counts(ChildKey key, ExitClass how, bool was_up) {
    const bool quiet = told_.empty() && timers_.empty() && !touched_.contains(key) && policy_.phase() == Phase::up;
    const bool comes_back = rules_[key].restart == permanent ||
                            (rules_[key].restart == transient && (how == ExitClass::abnormal || !was_up));
    if (quiet && comes_back) counted_.push_back(now_);
    while (!counted_.empty() && now_ - counted_.front() > cast_.supervisor.limit.within) counted_.pop_front();
  }

  // Actions, each held against the world.
  void apply(const Actions& actions) {
    for (const Action& action : actions) {
      INFO("action " << text({action}) << " of \"" << text(actions) << "\" at " << now_.count());
      REQUIRE_FALSE(over_);
      std::visit([this](auto a) { act(a); }, action);
    }
    if (!over_ && policy_.phase() != Phase::ending) REQUIRE(counted_.size() <= cast_.supervisor.limit.restarts);
  }

  void act(StartChild a) {
    REQUIRE(rules_.contains(a.child));
    REQUIRE_FALSE(processes_.contains(a.child));  // never two starts without an end between
    REQUIRE_FALSE(timers_.contains(a.child));
    REQUIRE(policy_.phase() != Phase::ending);
    if (rules_[a.child].restart == temporary && !touched_.contains(a.child))
      REQUIRE(started_before_.insert(a.child).second);
    if (!with_requests_) check_start_order(a.child);
    processes_[a.child] = Process::starting;
  }
  void act(StopChild a) {
    REQUIRE(processes_.contains(a.child));
    REQUIRE(told_.insert(a.child).second);
    if (!with_requests_) check_stop_order(a.child);
  }
  void act(KillChild a) {
    REQUIRE(processes_.contains(a.child));
    told_.insert(a.child);
  }
  void act(ArmTimer a) {
    REQUIRE(timers_.insert(a.child).second);
    REQUIRE(a.delay > 0s);
    REQUIRE(a.delay <= rules_[a.child].backoff.max);
  }
  void act(CancelTimer a) { REQUIRE(timers_.erase(a.child) == 1); }
  void act(ForgetChild a) {
    REQUIRE_FALSE(processes_.contains(a.child));
    REQUIRE_FALSE(timers_.contains(a.child));
    REQUIRE(rules_.erase(a.child) == 1);
  }
  void act(Started) { REQUIRE_FALSE(std::exchange(has_started_, true)); }
  void act(StartFailed) {
    REQUIRE_FALSE(has_started_);
    end();
  }
  void act(Ended) { end(); }

  void end() {
    REQUIRE(processes_.empty());
    REQUIRE(timers_.empty());
    over_ = true;
  }

  // One at a time, and nobody before somebody earlier who is still on the way.
  void check_start_order(ChildKey started) {
    const bool in_a_sweep = cast_.supervisor.strategy != one_for_one;
    for (const auto& [key, process] : processes_) {
      if (in_a_sweep) REQUIRE(process == Process::up);
      if (in_a_sweep) REQUIRE(key < started);
    }
    if (in_a_sweep) REQUIRE(told_.empty());
  }
  // One at a time, the last first; by one_for_one only at the end.
  void check_stop_order(ChildKey stopped) {
    REQUIRE(told_.size() == 1);
    REQUIRE(processes_.rbegin()->first == stopped);
    if (cast_.supervisor.strategy == one_for_one) REQUIRE(policy_.phase() == Phase::ending);
  }

  // When nothing is under way, everything that should run does.
  void check_rest() {
    const bool at_rest = told_.empty() && timers_.empty() && policy_.phase() == Phase::up;
    if (over_ || !at_rest) return;
    for (const auto& [key, process] : processes_)
      if (process == Process::starting) return;
    for (const auto& [key, rules] : rules_)
      if (rules.restart == permanent && !touched_.contains(key)) REQUIRE(processes_.contains(key));
  }
  void check_over() {
    CHECK(policy_.start(at()).empty());
    CHECK(policy_.stop_requested(at()).empty());
    CHECK(policy_.kill_requested(at()).empty());
    for (ChildKey key : policy_.children()) CHECK(policy_.child_exited(key, ExitClass::abnormal, at()).empty());
  }

  // Chance.
  std::uint64_t pick(std::uint64_t below) {
    return std::uniform_int_distribution<std::uint64_t>(0, below - 1)(random_);
  }
  bool one_in(std::uint64_t n) { return pick(n) == 0; }
  Moment at() { return {now_, std::uniform_real_distribution<>(0, 1)(random_)}; }
  static ChildKey key_of(ChildKey key) { return key; }
  template <class T>
  static ChildKey key_of(const std::pair<const ChildKey, T>& entry) {
    return entry.first;
  }
  template <class Container>
  ChildKey any_of(const Container& container) {
    return key_of(*std::next(container.begin(), static_cast<std::ptrdiff_t>(pick(container.size()))));
  }

  std::mt19937_64 random_;
  bool with_requests_;
  Cast cast_;
  SupervisorPolicy policy_;
  std::chrono::nanoseconds now_{1h};
  std::map<ChildKey, ChildRules> rules_;  // of the children not forgotten
  std::map<ChildKey, Process> processes_;
  std::set<ChildKey> told_, timers_, touched_, started_before_;
  std::deque<std::chrono::nanoseconds> counted_;
  bool has_started_ = false;
  bool over_ = false;
};

// The seeds to play: new ones each time, or the one asked for.
std::vector<std::uint64_t> seeds(int count) {
  if (const char* asked = std::getenv("MUPROC_TEST_SEED")) return {std::strtoull(asked, nullptr, 10)};
  std::random_device device;
  std::vector<std::uint64_t> chosen(static_cast<std::size_t>(count));
  for (auto& seed : chosen) seed = device();
  return chosen;
}

}  // namespace

TEST_CASE("whatever happens, a supervisor starts nobody twice, keeps to its order and its limit, and can be stopped",
          "[policy][property]") {
  for (const std::uint64_t seed : seeds(2000)) {
    INFO("MUPROC_TEST_SEED=" << seed);
    World world(seed, false);
    world.play(60);
    world.close();
  }
}

TEST_CASE("whatever people ask for meanwhile, a supervisor starts nobody twice, and can be stopped",
          "[policy][property]") {
  for (const std::uint64_t seed : seeds(2000)) {
    INFO("MUPROC_TEST_SEED=" << seed);
    World world(seed, true);
    world.play(60);
    world.close();
  }
}

TEST_CASE("the limit ends a supervisor exactly with the restart that is one too many", "[policy][property]") {
  for (const std::uint64_t seed : seeds(2000)) {
    INFO("MUPROC_TEST_SEED=" << seed);
    std::mt19937_64 random(seed);
    const Limit limit{std::uint32_t(random() % 5), std::chrono::milliseconds(1 + random() % 2000)};
    SupervisorPolicy policy({.limit = limit}, {ChildRules{}});
    Moment at{.now = 1h};
    policy.start(at);
    policy.child_started(0, at);
    std::vector<std::chrono::nanoseconds> deaths;
    for (int death = 0; death < 200; ++death) {
      at.now += std::chrono::milliseconds(random() % 1000);
      deaths.push_back(at.now);
      const auto recent =
          std::count_if(deaths.begin(), deaths.end(), [&](auto time) { return at.now - time <= limit.within; });
      const Actions actions = policy.child_exited(0, ExitClass::abnormal, at);
      const bool goes_on = recent <= static_cast<std::ptrdiff_t>(limit.restarts);
      REQUIRE(text(actions) == (goes_on ? "start 0" : "ended limit_reached"));
      if (!goes_on) break;
      policy.child_started(0, at);
    }
  }
}
