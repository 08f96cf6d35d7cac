// Killed at their system calls: outsiders that join, the zygotes and the seed that clone, and the broker itself.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <vector>

#include "crash/stage.hpp"
#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/random.hpp"
#include "support/segment_invariants.hpp"
#include "support/soak.hpp"
#include "support/stepper.hpp"
#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

bool cannot_step() {
  if (!k_can_step) WARN("nobody is stepped here: that takes an x86-64, and no sanitizer");
  return !k_can_step;
}

/// So many of 1 … count, all if there are no more, in any order; in a soak for as long as there is time.
class Lot {
 public:
  Lot(std::size_t count, std::size_t wanted, Random& random) : wanted_(wanted) {
    for (std::size_t n = 1; n <= count; ++n) all_.push_back(n);
    for (std::size_t i = all_.size(); i > 1; --i) std::swap(all_[i - 1], all_[random.below(i)]);
  }
  std::optional<std::size_t> draw() {
    if (drawn_ == all_.size() || (drawn_ >= wanted_ && !time_.is_left())) return std::nullopt;
    return all_[drawn_++];
  }

 private:
  std::vector<std::size_t> all_;
  std::size_t wanted_, drawn_ = 0;
  SoakShare time_{k_crash_tests};
};

/// Leads it to the nth entry or return; false when there are not so many.
bool run_to_system_call(Stepper& stepper, std::size_t n) {
  for (; n > 0; --n)
    if (!stepper.run_to_system_call()) return false;
  return true;
}

/// What a system must have back after each death in it.
class Baseline {
 public:
  explicit Baseline(LiveSystem& system) : system_(system), broker_(holdings()), channels_(open_channels(system.folder())) {}
  void must_come_back() {
    wait_until("the broker to have " + to_string(broker_) + " again", [&] {
      hear_the_broker();
      return holdings() == broker_ && open_channels(system_.folder()) == channels_;
    });
    for (const std::string& breach : breaches(system_.folder())) FAIL_CHECK(breach);
  }

 private:
  Holdings holdings() {
    hear_the_broker();
    return holdings_of(system_.broker().os_pid());
  }
  void hear_the_broker() { system_.self().demonitor(system_.self().monitor(system_.self().pid())); }
  LiveSystem& system_;
  Holdings broker_;
  std::size_t channels_;
};

// ---- outsiders -------------------------------------------------------------------------------------------------------

Process outsider(const std::string& system) {
  return Process::forked([&system] {
    wait_until("a tracer", [] { return marks->load() != 0; });
    mark();
    auto other = attach(system, {.name = "outsider"});
    mark();
    waits(*other);
    return 0;
  });
}

// ---- zygotes ---------------------------------------------------------------------------------------------------------

/// The one child of the broker that calls itself so, and is no muproc: those have their zygote's name. So have, for a moment,
/// the one that was killed, and what it has cloned that nobody had asked for.
pid_t child_called(LiveSystem& system, const std::string& name) {
  const pid_t parent = system.broker().os_pid();
  return wait_until("one process called " + name, [&] {
    std::vector<pid_t> found;
    std::set<pid_t> muprocs;
    for (const MuprocInfo& info : system.self().list()) muprocs.insert(info.os_pid);
    std::ifstream children("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children");
    for (pid_t child; children >> child;) {
      std::ifstream file("/proc/" + std::to_string(child) + "/comm");
      std::string comm;
      std::getline(file, comm);
      if (comm == name && !muprocs.contains(child)) found.push_back(child);
    }
    return found.size() == 1 && process_lives(found.front()) ? found.front() : 0;
  });
}

Code a_function() { return Code(waits); }
Code a_program() { return exec_plain({"sleep", "1000"}); }

/// Spawns what it is told, and says whether that was born.
template <Code (*code)()>
void midwife(Self& self) {
  for (;;)
    self.receive(on<"spawn">() >> [&](bool) {
      bool born = false;
      try {
        self.spawn("child", code());
        born = true;
      } catch (const Error&) {
      }
      self.send("tester", "born", born);
    });
}

struct Answered {};

/// Ends the child, if there is one, and has another one born in its place.
void let_another_be_born(LiveSystem& system, bool born) {
  Self& self = system.self();
  if (born) {
    const Pid child = wait_for_name(self, "child");
    self.kill(child);
    system.wait_until_gone(child);
  }
  CHECK(self.find("child") == nil_pid);
  self.send("midwife", "spawn", true);
  REQUIRE(next<bool, "born">(self));
  const Pid another = self.find("child");
  REQUIRE(another);
  self.kill(another);
  system.wait_until_gone(another);
}

/// Kills who clones, at one after the other of the system calls that a birth takes.
void kill_at_births(const std::string& name, Function midwife, std::size_t wanted) {
  Random random;
  INFO(random.how_to_repeat());
  make_marks();
  LiveSystem system(TestOptions{.log = LogLevel::info});
  Self& self = system.self();
  const Pid resident = self.spawn_monitor("resident", waits).first;
  self.spawn("midwife", midwife);
  let_another_be_born(system, false);
  // How many there are: counted until the answer is there.
  std::size_t count = 0;
  std::optional<bool> born;
  const auto look_for_an_answer = [&] {
    self.receive(on<"born">() >> [&](bool answer) { born = answer; }, after(0s) >> [] {});
    if (born) throw Answered();
  };
  const auto lead = [&](std::size_t most) {
    Stepper stepper(child_called(system, name));
    stepper.when_blocked(look_for_an_answer);
    self.send("midwife", "spawn", true);
    try {
      for (count = 0; count < most && stepper.run_to_system_call();) ++count;
      stepper.kill();
    } catch (const Answered&) {
    }
  };
  lead(~std::size_t{0});
  REQUIRE(born == true);
  const std::size_t all = count;
  REQUIRE(all > 4);
  let_another_be_born(system, true);
  Baseline baseline(system);

  Lot lot(all, wanted, random);
  while (const auto n = lot.draw()) {
    INFO(name << " was killed at system call stop " << *n << " of " << all);
    born.reset();
    lead(*n);
    if (!born) born = next<bool, "born">(self);
    let_another_be_born(system, *born);
    self.receive(on<"terminated", "reason">(is(resident), anything) >> [](Pid, Reason why) { FAIL("a child of the zygote has ended: " << to_string(why)); },
                 after(0s) >> [] {});
    child_called(system, name);
    baseline.must_come_back();
  }
}

// ---- the broker ------------------------------------------------------------------------------------------------------

/// A broker that runs when a tracer has come; not a Process, since who traces it waits for it, too.
class TracedBroker {
 public:
  explicit TracedBroker(const std::string& name) {
    marks->store(0);
    os_pid_ = ::fork();
    REQUIRE(os_pid_ >= 0);
    if (os_pid_ > 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    int code = 70;
    try {
      wait_until("a tracer", [] { return marks->load() != 0; });
      mark();
      code = System(name, supervisor(one_for_one, {5, 5s}, {{"a", waits}, {"b", waits}}), {.log = LogLevel::off}).run();
    } catch (...) {
    }
    ::_exit(code);
  }
  TracedBroker(const TracedBroker&) = delete;
  ~TracedBroker() {
    if (::waitpid(os_pid_, nullptr, WNOHANG | __WALL) != 0) return;
    ::kill(os_pid_, SIGKILL);
    ::waitpid(os_pid_, nullptr, __WALL);
  }
  pid_t os_pid() const { return os_pid_; }

 private:
  pid_t os_pid_;
};

/// What goes on in a system from its beginning to its end, by somebody from outside: births and deaths, names, messages.
int live_in(const std::string& system) {
  std::optional<Attachment> self;
  wait_until("the system to come up", [&] {
    try {
      self.emplace(attach(system, {.name = "guest"}));
    } catch (const Error&) {
    }
    return self || ::getppid() == 1 || marks->load() == 2;
  });
  if (!self) return 1;
  try {
    const auto port = (*self)->register_port("the-port");
    const auto [child, ref] = (*self)->spawn_monitor("child", waits);
    (*self)->send(child, "n", 1);
    (*self)->kill(child);
    reason_of(**self, ref);
    (*self)->spawn("plain", exec_plain({"sleep", "1000"}));
    (*self)->kill("a");
    wait_for_name(**self, "a");
    for (const MuprocInfo& info : (*self)->list()) std::ignore = info;
  } catch (const std::exception&) {
    return 1;
  } catch (const ExitSignal&) {
    return 1;
  }
  return 0;
}

/// The name can be used again, and nothing is there of the system that was.
void start_afresh(const std::string& name) {
  auto fresh = Process::forked([&] { return System(name, supervisor(one_for_one, {5, 5s}, {{"a", waits}}), {.log = LogLevel::off}).run(); });
  wait_until("the fresh broker to let us in", [&] {
    try {
      auto self = attach(name, {.name = "guest"});
      const auto port = self->register_port("the-port");
      return self->find("a") && !self->find("child") && !self->find("plain");
    } catch (const Error&) {
      if (!fresh.running()) throw;
      return false;
    }
  });
  fresh.signal(SIGTERM);
  CHECK(fresh.wait() == 0);
  nobody_is_left();
  std::set<std::string> files;
  for (const auto& entry : fs::directory_iterator(runtime_dir() / name)) files.insert(entry.path().filename());
  CHECK(files == std::set<std::string>{"crashes", "lock", "logs"});
  CHECK(fs::file_size(runtime_dir() / name / "lock") == 0);
}

/// A whole life of a system. Its broker is killed at its nth system call stop; the number of stops that there were.
std::size_t lead_a_broker(const std::string& name, std::size_t n) {
  TracedBroker broker(name);
  std::size_t stops = 0;
  {
    Stepper stepper(broker.os_pid());
    stepper.run_to_mark();
    auto guest = Process::forked([&] { return live_in(name); });
    bool is_told_to_end = false;
    stepper.when_blocked([&] {
      if (!is_told_to_end && !guest.running()) {
        CHECK(guest.wait() == 0);
        ::kill(broker.os_pid(), SIGTERM);
        is_told_to_end = true;
      }
    });
    for (; stops < n && stepper.run_to_system_call();) ++stops;
    if (stops == n) {
      stepper.kill();
      marks->store(2);
    }
    stepper.when_blocked(nullptr);
    guest.wait();
  }
  return stops;
}

}  // namespace

TEST_CASE("an outsider that is killed while it joins leaves neither its name nor its memory", "[crash][attach]") {
  if (cannot_step()) return;
  Random random;
  INFO(random.how_to_repeat());
  make_marks();
  LiveSystem system(TestOptions{.log = LogLevel::off});
  std::size_t count = 0;
  {
    auto joins = outsider(system.name());
    Stepper stepper(joins.os_pid());
    stepper.run_to_mark();
    while (stepper.run_to_system_call()) ++count;
    stepper.kill();
    CHECK(joins.wait() == 128 + SIGKILL);
  }
  REQUIRE(count > 10);
  system.wait_until_gone("outsider");
  Baseline baseline(system);
  Lot lot(count, 40, random);
  while (const auto n = lot.draw()) {
    INFO("killed at system call stop " << *n << " of " << count);
    auto joins = outsider(system.name());
    {
      Stepper stepper(joins.os_pid());
      stepper.run_to_mark();
      CHECK(run_to_system_call(stepper, *n));
      stepper.kill();
    }
    CHECK(joins.wait() == 128 + SIGKILL);
    system.wait_until_gone("outsider");
    baseline.must_come_back();
  }
}

TEST_CASE("a zygote that is killed in the middle of a birth harms no child of it, and another takes its place", "[crash][zygote]") {
  if (cannot_step()) return;
  kill_at_births("muproc-zygote", midwife<a_function>, 30);
}

TEST_CASE("a seed that is killed in the middle of a birth is replaced", "[crash][zygote]") {
  if (cannot_step()) return;
  kill_at_births("muproc-seed", midwife<a_program>, 30);
}

TEST_CASE("a broker that is killed at any system call leaves no orphan and no litter, and a fresh one starts", "[crash][broker]") {
  if (cannot_step()) return;
  Random random;
  INFO(random.how_to_repeat());
  make_marks();
  const std::size_t count = lead_a_broker("killed", ~std::size_t{0});
  REQUIRE(count > 300);
  nobody_is_left();
  if (is_soak()) std::printf("the broker: %zu system call stops in a system's life\n", count);
  Lot lot(count, 24, random);
  while (const auto n = lot.draw()) {
    INFO("killed at system call stop " << *n << " of " << count);
    const Holdings before = holdings_of(::getpid());
    lead_a_broker("killed", *n);
    nobody_is_left();
    CHECK(holdings_of(::getpid()) == before);
    start_afresh("killed");
  }
}
