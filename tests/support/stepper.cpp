#include "support/stepper.hpp"

#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
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
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>
#include <string_view>
#include <unordered_map>
#include <utility>

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

constexpr int k_int3_code = SI_KERNEL;  // si_code of one
constexpr std::uint8_t k_int3 = 0xcc;

/// Tells of each stop; waited for rather than looked for, since a step takes less than any other way to wait.
const sigset_t k_child_signal = [] {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  return set;
}();

/// Where it has been put in a process; two zeros when it has none.
std::pair<std::uint64_t, std::uint64_t> vdso_of(pid_t os_pid) {
  std::ifstream maps("/proc/" + std::to_string(os_pid) + "/maps");
  for (std::string line; std::getline(maps, line);) {
    if (!line.ends_with("[vdso]")) continue;
    std::size_t dash = 0;
    const std::uint64_t begin = std::stoull(line, &dash, 16);
    return {begin, std::stoull(line.substr(dash + 1), nullptr, 16)};
  }
  return {};
}

/// What makes another process, or another image, of this one.
bool makes_a_clone(std::uint64_t system_call) {
  for (const int call : {SYS_fork, SYS_vfork, SYS_clone, SYS_clone3, SYS_execve, SYS_execveat})
    if (system_call == static_cast<std::uint64_t>(call)) return true;
  return false;
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
  try {
    lift_breakpoint();
  } catch (const Failed&) {
    // somebody has killed it
  }
  marks->store(0);
  is_traced_ = false;
  ::ptrace(PTRACE_DETACH, os_pid_, nullptr, reinterpret_cast<void*>(static_cast<std::intptr_t>(signal)));
}

void Stepper::kill() { detach(SIGKILL); }

void Stepper::let_go() {
  when_blocked_ = nullptr;
  if (!is_stopped_ && ::ptrace(PTRACE_INTERRUPT, os_pid_, nullptr, nullptr) == 0) wait();
  while (is_traced_ && is_about_to_trap()) resume(PTRACE_CONT);  // or it would die of it when nobody traces it
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
  if (signal == (SIGTRAP | 0x80)) return Stop::system_call;
  if (status >> 16 == PTRACE_EVENT_STOP) return Stop::other;
  siginfo_t info{};
  if (signal != SIGTRAP || ::ptrace(PTRACE_GETSIGINFO, os_pid_, nullptr, &info) != 0) {
    signal_ = signal;
    return Stop::other;
  }
  if (info.si_code != k_int3_code) return Stop::step;
  if (!breakpoint_ || address() - 1 != breakpoint_->address) return Stop::mark;
  const auto back = reinterpret_cast<void*>(breakpoint_->address);
  lift_breakpoint();
  if (::ptrace(PTRACE_POKEUSER, os_pid_, offsetof(user_regs_struct, rip), back) != 0) fail("ptrace: registers");
  return Stop::breakpoint;
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

user_regs_struct Stepper::registers() const {
  user_regs_struct registers{};
  if (::ptrace(PTRACE_GETREGS, os_pid_, nullptr, &registers) != 0) fail("ptrace: registers");
  return registers;
}

/// It has a handler for that one; others do not keep it from its next instruction.
bool Stepper::catches(int signal) const {
  constexpr std::string_view k_caught = "SigCgt:";
  std::ifstream status("/proc/" + std::to_string(os_pid_) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(k_caught)) return std::stoull(line.substr(k_caught.size()), nullptr, 16) >> (signal - 1) & 1;
  return false;
}

/// Executes one instruction; or the first one of a signal's handler comes before it, and it has still to be executed.
Stepper::Stop Stepper::step(bool& came_a_signal) {
  Stop stop = Stop::other;
  for (came_a_signal = false; stop == Stop::other;) {
    came_a_signal = signal_ != 0 && catches(signal_);
    stop = resume(PTRACE_SINGLESTEP);
  }
  came_a_signal = came_a_signal && stop == Stop::step;
  return stop;
}

/// Past the kernel's own code in the process, which reads the clock: it begins afresh when the clock is set meanwhile, and
/// that happens often to who is stepped, hardly ever to who runs. False at a mark.
bool Stepper::pass_vdso() {
  errno = 0;
  const long caller = ::ptrace(PTRACE_PEEKDATA, os_pid_, reinterpret_cast<void*>(registers().rsp), nullptr);
  if (errno != 0) fail("ptrace: stack");
  return run_to_breakpoint(static_cast<std::uint64_t>(caller));
}

Recording Stepper::record(WatchedMemory* watched, const std::function<void(std::size_t)>& before_each) {
  Recording recording;
  std::unordered_map<std::uint64_t, std::uint32_t> visits;
  if (watched) watched->has_changed();
  const auto [vdso, vdso_end] = vdso_of(os_pid_);
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
    if (before_each) before_each(index);
    bool came_a_signal = false;
    const Stop stop = step(came_a_signal);
    if (came_a_signal) {  // nobody who runs there would have come to it
      recording.places.pop_back();
      --visits[place.address];
      last = {};
      continue;
    }
    if (is_system_call_at(place.address)) recording.system_calls.push_back(index);
    if (watched && watched->has_changed()) recording.changes.push_back(index);
    if (stop == Stop::mark || stop == Stop::ended) return recording;
    if (const auto now = address(); now >= vdso && now < vdso_end && !pass_vdso()) return recording;
  }
}

std::uint8_t Stepper::replace_code(std::uint64_t address, std::uint8_t code) {
  constexpr std::uint64_t k_within = sizeof(long) - 1;  // a whole word, which never reaches into another page
  const auto at = reinterpret_cast<void*>(address & ~k_within);
  errno = 0;
  long word = ::ptrace(PTRACE_PEEKTEXT, os_pid_, at, nullptr);
  if (errno != 0) fail("ptrace: text");
  std::uint8_t bytes[sizeof word];
  std::memcpy(bytes, &word, sizeof word);
  const std::uint8_t former = std::exchange(bytes[address & k_within], code);
  std::memcpy(&word, bytes, sizeof word);
  if (::ptrace(PTRACE_POKETEXT, os_pid_, at, word) != 0) fail("ptrace: text");
  return former;
}

void Stepper::set_breakpoint(std::uint64_t address) {
  const auto threads = std::filesystem::directory_iterator("/proc/" + std::to_string(os_pid_) + "/task");
  if (std::distance(begin(threads), end(threads)) != 1) throw Failed("a process with threads cannot be led");
  breakpoint_ = {address, replace_code(address, k_int3)};
}

void Stepper::lift_breakpoint() {
  if (breakpoint_) replace_code(breakpoint_->address, breakpoint_->code);
  breakpoint_.reset();
}

/// It has executed an int3 and was interrupted before it stopped for that.
bool Stepper::is_about_to_trap() const {
  constexpr std::size_t k_most = 64;
  siginfo_t pending[k_most];
  __ptrace_peeksiginfo_args from{.off = 0, .flags = 0, .nr = k_most};
  const long count = ::ptrace(PTRACE_PEEKSIGINFO, os_pid_, &from, pending);
  return std::any_of(pending, pending + std::max(count, 0L),
                     [](const siginfo_t& info) { return info.si_signo == SIGTRAP; });
}

bool Stepper::is_in_system_call() const {
  __ptrace_syscall_info info{};
  return ::ptrace(PTRACE_GET_SYSCALL_INFO, os_pid_, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

bool Stepper::run_to_breakpoint(std::uint64_t address) {
  set_breakpoint(address);
  for (bool is_cloning = false;;) {
    const Stop stop = resume(PTRACE_SYSCALL);
    if (stop == Stop::breakpoint) return true;
    if (!may_go_on(stop)) {
      lift_breakpoint();
      return false;
    }
    if (stop != Stop::system_call) continue;
    if (std::exchange(is_cloning, is_in_system_call() && makes_a_clone(registers().orig_rax))) set_breakpoint(address);
    if (is_cloning) lift_breakpoint();
  }
}

/// False at a mark.
bool Stepper::may_go_on(Stop stop) {
  if (stop == Stop::ended) throw Failed("a traced process has ended before it came to its place");
  return stop != Stop::mark;
}

bool Stepper::run_to(const Place& place) {
  for (std::uint32_t visits = 0;;) {
    if (address() != place.address && !run_to_breakpoint(place.address)) return false;
    if (++visits == place.visit) break;
    for (bool came_a_signal = false; !came_a_signal && address() == place.address; visits -= came_a_signal)
      if (!may_go_on(step(came_a_signal))) return false;
  }
  bool came_a_signal = false;
  for (std::uint32_t repeat = 0; repeat < place.repeats; ++repeat)
    if (!may_go_on(step(came_a_signal))) return false;
  return true;
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
Recording Stepper::record(WatchedMemory*, const std::function<void(std::size_t)>&) { return {}; }
bool Stepper::run_to(const Place&) { return false; }
bool Stepper::run_to_system_call() { return false; }
bool Stepper::is_in_system_call() const { return false; }
user_regs_struct Stepper::registers() const { return {}; }
void Stepper::kill() {}
void Stepper::stop() {}
void Stepper::let_go() {}

#endif

}  // namespace muproc::test
