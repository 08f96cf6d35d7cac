#include "support/stepper.hpp"

#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <new>
#include <unordered_map>

#include "shm/layout.hpp"
#include "support/waiting.hpp"

namespace muproc::test {
namespace {

[[noreturn]] void fail(const char* what) { throw Failed(std::string(what) + ": " + std::strerror(errno)); }

}  // namespace

void make_marks() {
  void* memory = ::mmap(nullptr, sizeof *marks, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  marks = new (memory) std::atomic<int>(0);
}

// ---- memory ----------------------------------------------------------------------------------------------------------

WatchedMemory::WatchedMemory(int memfd)
    : memfd_(sys::duplicate(memfd)), map_(memfd, sys::Mapping::Access::read_only, sys::file_size(memfd)) {
  has_changed();
}

bool WatchedMemory::has_changed() {
  bool changed = false;
  std::size_t runs = 0;
  // Only what is there: a look at a page that was never written would make it.
  for (off_t begin = 0; (begin = ::lseek(memfd_.get(), begin, SEEK_DATA)) >= 0; ++runs) {
    const off_t end = ::lseek(memfd_.get(), begin, SEEK_HOLE);
    const std::string_view now(reinterpret_cast<const char*>(map_.data()) + begin, static_cast<std::size_t>(end - begin));
    std::string& before = seen_[static_cast<std::size_t>(begin)];
    if (before != now) {
      before = now;
      changed = true;
    }
    begin = end;
  }
  return changed || runs != seen_.size();
}

std::vector<std::size_t> Recording::edges() const {
  std::map<std::uint64_t, std::vector<std::size_t>> by_instruction;
  for (const auto* list : {&changes, &system_calls})
    for (const std::size_t at : *list) by_instruction[places[at].address].push_back(at);
  std::vector<std::size_t> edges;
  for (auto& [address, all] : by_instruction) {
    constexpr std::ptrdiff_t k_some = 2;
    if (all.size() > 2 * k_some) all.erase(all.begin() + k_some, all.end() - k_some);
    for (const std::size_t at : all) {
      edges.push_back(at);
      if (at + 1 < places.size()) edges.push_back(at + 1);
    }
  }
  std::sort(edges.begin(), edges.end());
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  return edges;
}

// ---- the process -----------------------------------------------------------------------------------------------------

#if defined(__x86_64__)

namespace {

constexpr int k_mark_code = SI_KERNEL;  // si_code of an int3
constexpr int k_breakpoint_code = 4;    // TRAP_HWBKPT

/// Tells of each stop; waited for rather than looked for, since a step takes less than any other way to wait.
const sigset_t k_child_signal = [] {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  return set;
}();

}  // namespace

namespace {

[[gnu::noinline]] void pass_here() { asm volatile("nop" ::: "memory"); }

/// Some virtual machines take a breakpoint and never stop there.
bool breakpoints_work() {
  static const bool do_work = [] {
    const pid_t child = ::fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
      ::raise(SIGSTOP);
      pass_here();
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    const bool is_set =
        ::ptrace(PTRACE_POKEUSER, child, offsetof(user, u_debugreg[0]), reinterpret_cast<void*>(pass_here)) == 0 &&
        ::ptrace(PTRACE_POKEUSER, child, offsetof(user, u_debugreg[7]), reinterpret_cast<void*>(1)) == 0;
    ::ptrace(PTRACE_CONT, child, nullptr, nullptr);
    ::waitpid(child, &status, 0);
    const bool has_stopped = is_set && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
    if (!WIFEXITED(status)) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
    }
    return has_stopped;
  }();
  return do_work;
}

}  // namespace

Stepper::Stepper(pid_t os_pid) : os_pid_(os_pid) {
  ::pthread_sigmask(SIG_BLOCK, &k_child_signal, &former_signals_);
  if (::ptrace(PTRACE_SEIZE, os_pid_, nullptr, PTRACE_O_TRACESYSGOOD) != 0) fail("ptrace: seize");
  is_traced_ = true;
  if (::ptrace(PTRACE_INTERRUPT, os_pid_, nullptr, nullptr) != 0) fail("ptrace: interrupt");
  while (wait() == Stop::mark) {
  }
  marks->store(1);
}

Stepper::~Stepper() {
  if (is_traced_) let_go();
  ::pthread_sigmask(SIG_SETMASK, &former_signals_, nullptr);
}

void Stepper::detach(int signal) {
  marks->store(0);
  is_traced_ = false;
  ::ptrace(PTRACE_DETACH, os_pid_, nullptr, reinterpret_cast<void*>(static_cast<std::intptr_t>(signal)));
}

void Stepper::kill() { detach(SIGKILL); }

void Stepper::let_go() {
  when_blocked_ = nullptr;
  if (!is_stopped_ && ::ptrace(PTRACE_INTERRUPT, os_pid_, nullptr, nullptr) == 0) wait();
  if (is_traced_) detach(std::exchange(signal_, 0));
}

void Stepper::stop() {
  detach(SIGSTOP);
  wait_until_stopped(os_pid_);
}

Stepper::Stop Stepper::wait() {
  const auto give_up = std::chrono::steady_clock::now() + k_patience;
  int status = 0;
  for (;;) {
    const pid_t got = ::waitpid(os_pid_, &status, WNOHANG | __WALL);
    if (got == os_pid_) break;
    if (got < 0 && errno != EINTR) fail("waitpid");
    constexpr timespec k_a_while{0, 1'000'000};
    if (::sigtimedwait(&k_child_signal, nullptr, &k_a_while) == SIGCHLD) continue;
    if (when_blocked_ && process_state(os_pid_) == 'S') when_blocked_();
    if (std::chrono::steady_clock::now() > give_up) waited_in_vain("a traced process to come to its next stop");
  }
  is_stopped_ = true;
  if (!WIFSTOPPED(status)) {
    is_traced_ = false;
    return Stop::ended;
  }
  const int signal = WSTOPSIG(status);
  if (signal == (SIGTRAP | 0x80)) {
    in_system_call_ = !in_system_call_;
    return Stop::system_call;
  }
  if (status >> 16 == PTRACE_EVENT_STOP) return Stop::other;
  siginfo_t info{};
  if (signal != SIGTRAP || ::ptrace(PTRACE_GETSIGINFO, os_pid_, nullptr, &info) != 0) {
    signal_ = signal;
    return Stop::other;
  }
  if (info.si_code == k_mark_code) return Stop::mark;
  return info.si_code == k_breakpoint_code ? Stop::breakpoint : Stop::step;
}

Stepper::Stop Stepper::resume(int how) {
  const auto signal = static_cast<std::intptr_t>(std::exchange(signal_, 0));
  if (::ptrace(static_cast<__ptrace_request>(how), os_pid_, nullptr, reinterpret_cast<void*>(signal)) != 0) fail("ptrace: go on");
  is_stopped_ = false;
  return wait();
}

void Stepper::run_to_mark() {
  for (;;) {
    const Stop stop = resume(PTRACE_CONT);
    if (stop == Stop::mark) return;
    if (stop == Stop::ended) throw Failed("a traced process has ended before it came to its mark");
  }
}

std::uint64_t Stepper::address() const {
  errno = 0;
  const long word = ::ptrace(PTRACE_PEEKUSER, os_pid_, offsetof(user_regs_struct, rip), nullptr);
  if (errno != 0) fail("ptrace: registers");
  return static_cast<std::uint64_t>(word);
}

bool Stepper::is_system_call_at(std::uint64_t address) const {
  unsigned char code[2]{};
  iovec to{code, sizeof code}, from{reinterpret_cast<void*>(address), sizeof code};
  return ::process_vm_readv(os_pid_, &to, 1, &from, 1, 0) == sizeof code && code[0] == 0x0f && code[1] == 0x05;
}

Recording Stepper::record(WatchedMemory* watched) {
  Recording recording;
  std::unordered_map<std::uint64_t, std::uint32_t> visits;
  if (watched) watched->has_changed();
  for (Place last;;) {
    Place place{address(), 1, 0};
    if (place.address == last.address) {
      place.visit = last.visit;
      place.repeats = last.repeats + 1;
    } else {
      place.visit = ++visits[place.address];
    }
    const std::size_t index = recording.places.size();
    recording.places.push_back(last = place);
    if (is_system_call_at(place.address)) recording.system_calls.push_back(index);
    const Stop stop = resume(PTRACE_SINGLESTEP);
    if (watched && watched->has_changed()) recording.changes.push_back(index);
    if (stop == Stop::mark || stop == Stop::ended) return recording;
  }
}

void Stepper::set_breakpoint(std::uint64_t address) {
  constexpr auto k_address = offsetof(user, u_debugreg[0]), k_control = offsetof(user, u_debugreg[7]);
  const auto set = [this](std::size_t at, std::uint64_t value) {
    return ::ptrace(PTRACE_POKEUSER, os_pid_, at, reinterpret_cast<void*>(value)) == 0;
  };
  if (!set(k_control, 0) || !set(k_address, address) || !set(k_control, address ? 1 : 0)) fail("ptrace: breakpoint");
}

bool Stepper::run_to(const Place& place) {
  if (!breakpoints_work()) return step_to(place);
  set_breakpoint(place.address);
  bool is_there = true;
  for (std::uint32_t visits = 0; is_there && visits < place.visit;) {
    const Stop stop = resume(PTRACE_CONT);
    if (stop == Stop::ended) throw Failed("a traced process has ended before it came to its place");
    is_there = stop != Stop::mark;
    visits += stop == Stop::breakpoint;
  }
  set_breakpoint(0);
  for (std::uint32_t repeat = 0; is_there && repeat < place.repeats; ++repeat) resume(PTRACE_SINGLESTEP);
  return is_there;
}

/// By counting as `record` does.
bool Stepper::step_to(const Place& place) {
  std::uint64_t last = 0;
  for (std::uint32_t visits = 0, repeats = 0;;) {
    const std::uint64_t here = address();
    repeats = here == last ? repeats + 1 : 0;
    visits += here == place.address && here != last;
    last = here;
    if (here == place.address && visits == place.visit && repeats == place.repeats) return true;
    const Stop stop = resume(PTRACE_SINGLESTEP);
    if (stop == Stop::ended) throw Failed("a traced process has ended before it came to its place");
    if (stop == Stop::mark) return false;
  }
}

bool Stepper::run_to_system_call() {
  for (;;) {
    const Stop stop = resume(PTRACE_SYSCALL);
    if (stop == Stop::ended || stop == Stop::mark) return false;
    if (stop == Stop::system_call) return true;
  }
}

#else

Stepper::Stepper(pid_t os_pid) : os_pid_(os_pid) { throw Failed("processes are stepped on x86-64 only"); }
Stepper::~Stepper() = default;
void Stepper::run_to_mark() {}
Recording Stepper::record(WatchedMemory*) { return {}; }
bool Stepper::run_to(const Place&) { return false; }
bool Stepper::run_to_system_call() { return false; }
void Stepper::kill() {}
void Stepper::stop() {}
void Stepper::let_go() {}

#endif

}  // namespace muproc::test
