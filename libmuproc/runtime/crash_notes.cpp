#include "runtime/crash_notes.hpp"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <muproc/self.hpp>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <exception>
#include <iterator>
#include <typeinfo>

#include "sys/process.hpp"

extern "C" {
void __asan_init() __attribute__((weak));  // NOLINT(bugprone-reserved-identifier): the sanitizers' own names
void __tsan_init() __attribute__((weak));  // NOLINT(bugprone-reserved-identifier)
}

namespace muproc::detail {
namespace {

using shm::CrashBlock;
using shm::CrashState;
using shm::CrashThread;

constexpr int k_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS, SIGQUIT, SIGXCPU, SIGXFSZ};
constexpr std::size_t k_page = 4096;
constexpr std::size_t k_red_zone = 128;

// What the handler needs, before it needs it. The one place of this library with globals that change.
CrashBlock* block = nullptr;
std::byte* segment_begin = nullptr;
pid_t owner = 0;
std::atomic<int> crashing = 0;  // the thread that writes, or has written
std::terminate_handler terminate_before = nullptr;
alignas(16) char signal_stack[64 * 1024];

pid_t thread_id() noexcept { return static_cast<pid_t>(::syscall(SYS_gettid)); }

/// Copies out of our own memory what can be read of it, without ever faulting. How much that was.
std::size_t copy_readable(void* to, std::uintptr_t from, std::size_t size) noexcept {
  std::size_t done = 0;
  while (done < size) {
    const std::size_t part = std::min(size - done, k_page - (from + done) % k_page);
    iovec local{static_cast<char*>(to) + done, part};
    iovec remote{reinterpret_cast<void*>(from + done), part};
    if (::process_vm_readv(owner, &local, 1, &remote, 1, 0) != static_cast<ssize_t>(part)) break;
    done += part;
  }
  return done;
}

// ---- a thread --------------------------------------------------------------------------------------------------------

std::uintptr_t save_registers([[maybe_unused]] CrashThread& thread, [[maybe_unused]] const ucontext_t& context) noexcept {
#if defined(__x86_64__)
  constexpr int k_order[] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP, REG_R8,
                             REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
  for (std::size_t i = 0; i < std::size(k_order); ++i)
    thread.registers[i] = static_cast<std::uint64_t>(context.uc_mcontext.gregs[k_order[i]]);
  return static_cast<std::uintptr_t>(context.uc_mcontext.gregs[REG_RSP]);
#elif defined(__aarch64__)
  for (std::size_t i = 0; i < 31; ++i) thread.registers[i] = context.uc_mcontext.regs[i];
  thread.registers[31] = context.uc_mcontext.sp;
  thread.registers[32] = context.uc_mcontext.pc;
  return context.uc_mcontext.sp;
#else
  return 0;
#endif
}

void note_thread(std::size_t index, const ucontext_t& context) noexcept {
  CrashThread& thread = block->thread[index];
  thread.state.store(static_cast<std::uint32_t>(CrashState::begun), std::memory_order_relaxed);
  thread.tid = static_cast<std::uint32_t>(thread_id());
  ::prctl(PR_GET_NAME, thread.name);
  std::uintptr_t from = save_registers(thread, context);
  if (from) {
    from -= k_red_zone;
    char probe;
    // In a stack that has overflown the pointer is below what can be read.
    if (copy_readable(&probe, from, 1) == 0) from = (from + k_red_zone + k_page - 1) / k_page * k_page;
    thread.stack_address = from;
    thread.stack_bytes = copy_readable(segment_begin + shm::crash_stack_offset(index), from, shm::crash_stack_size(index));
  }
  // [SYNC crash.thread]
  thread.state.store(static_cast<std::uint32_t>(CrashState::whole), std::memory_order_release);
}

/// Asks each other thread to note itself, and waits for them, but not long: some may have the signal blocked.
void note_other_threads() noexcept {
  const int tasks = ::open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (tasks < 0) return;
  const pid_t self = thread_id();
  std::uint32_t count = 1;
  struct Entry {
    std::uint64_t inode;
    std::int64_t offset;
    unsigned short size;
    unsigned char type;
    char name[];
  };
  alignas(Entry) static char entries[8192];
  for (;;) {
    const long got = ::syscall(SYS_getdents64, tasks, entries, sizeof entries);
    if (got <= 0) break;
    for (long at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const Entry*>(entries + at);
      at += entry->size;
      pid_t tid = 0;
      for (const char* c = entry->name; *c >= '0' && *c <= '9'; ++c) tid = tid * 10 + (*c - '0');
      if (tid == 0 || tid == self || count >= shm::k_crash_threads) continue;
      block->thread[count].tid = static_cast<std::uint32_t>(tid);
      block->threads.store(++count, std::memory_order_release);
      ::syscall(SYS_tgkill, owner, tid, sys::k_interrupt_signal);
    }
  }
  ::close(tasks);
  for (int patience = 20; patience > 0; --patience) {
    bool all = true;
    for (std::uint32_t i = 1; i < count; ++i)
      all = all && block->thread[i].state.load(std::memory_order_acquire) == static_cast<std::uint32_t>(CrashState::whole);
    if (all) return;
    const timespec moment{0, 1'000'000};
    ::nanosleep(&moment, nullptr);
  }
}

// ---- what is mapped --------------------------------------------------------------------------------------------------

void note_maps() noexcept {
  const int file = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  char* to = reinterpret_cast<char*>(segment_begin + shm::k_crash_maps_offset);
  std::size_t size = 0;
  while (size < shm::k_crash_maps_size) {
    const ssize_t got = ::read(file, to + size, shm::k_crash_maps_size - size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    size += static_cast<std::size_t>(got);
  }
  block->maps_missing = size == shm::k_crash_maps_size;
  block->maps_bytes = size;
  ::close(file);
}

std::uint64_t hex(const char*& at, const char* end) noexcept {
  std::uint64_t value = 0;
  for (; at < end; ++at) {
    const char c = *at;
    if (c >= '0' && c <= '9') {
      value = value << 4 | static_cast<unsigned>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = value << 4 | static_cast<unsigned>(c - 'a' + 10);
    } else {
      break;
    }
  }
  return value;
}

/// The build id note of a module whose file is mapped from its beginning at `base`.
void note_build_id(std::uintptr_t base) noexcept {
  static Elf64_Phdr headers[16];
  static unsigned char notes[1024];
  Elf64_Ehdr file;
  if (copy_readable(&file, base, sizeof file) != sizeof file || std::memcmp(file.e_ident, ELFMAG, SELFMAG) != 0) return;
  const std::size_t count = std::min<std::size_t>(file.e_phnum, std::size(headers));
  if (copy_readable(headers, base + file.e_phoff, count * sizeof *headers) != count * sizeof *headers) return;
  shm::CrashModule& module = block->module[block->modules];
  module.base = base;
  for (std::size_t i = 0; i < count; ++i) {
    if (headers[i].p_type != PT_NOTE) continue;
    const std::size_t size = copy_readable(notes, base + headers[i].p_offset, std::min<std::size_t>(headers[i].p_filesz, sizeof notes));
    for (std::size_t at = 0; at + sizeof(Elf64_Nhdr) <= size;) {
      Elf64_Nhdr note;
      std::memcpy(&note, notes + at, sizeof note);
      const std::size_t name = at + sizeof note, data = name + (std::size_t{note.n_namesz} + 3) / 4 * 4;
      at = data + (std::size_t{note.n_descsz} + 3) / 4 * 4;
      if (at > size || data > size) break;
      if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 || std::memcmp(notes + name, "GNU", 4) != 0) continue;
      module.build_id_size = std::min<std::uint32_t>(note.n_descsz, shm::k_build_id_size);
      std::memcpy(module.build_id, notes + data, module.build_id_size);
    }
  }
  ++block->modules;
}

/// "7f0000001000-7f0000002000 r--p 00000000 08:01 1234  /usr/lib/x.so": those with offset 0 and a file.
void note_modules() noexcept {
  const char* at = reinterpret_cast<const char*>(segment_begin + shm::k_crash_maps_offset);
  const char* const end = at + block->maps_bytes;
  while (at < end && block->modules < shm::k_crash_modules) {
    const char* line_end = static_cast<const char*>(std::memchr(at, '\n', static_cast<std::size_t>(end - at)));
    if (!line_end) line_end = end;
    const std::uintptr_t begin = hex(at, line_end);
    while (at < line_end && *at != ' ') ++at;
    const bool is_readable = at + 1 < line_end && at[1] == 'r';
    at = std::min(at + 6, line_end);
    const std::uint64_t offset = hex(at, line_end);
    const bool has_file = std::memchr(at, '/', static_cast<std::size_t>(line_end - at)) != nullptr;
    if (is_readable && offset == 0 && has_file) note_build_id(begin);
    at = line_end + 1;
  }
}

// ---- the handlers ----------------------------------------------------------------------------------------------------

/// False when another thread is at it, or this is no longer the muproc's own process.
bool begin_notes() noexcept {
  int nobody = 0;
  return block && ::getpid() == owner && crashing.compare_exchange_strong(nobody, thread_id());
}

void note_all(const ucontext_t& context) noexcept {
  block->state.store(static_cast<std::uint32_t>(CrashState::begun), std::memory_order_release);
  block->threads.store(1, std::memory_order_release);
  note_thread(0, context);
  note_maps();
  note_modules();
  note_other_threads();
  // [SYNC crash.whole]
  block->state.store(static_cast<std::uint32_t>(CrashState::whole), std::memory_order_release);
}

void on_crash(int signal, siginfo_t* info, void* context) {
  if (begin_notes()) {
    block->signal = signal;
    block->code = info->si_code;
    block->address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    block->sender = info->si_code <= 0 ? info->si_pid : 0;
    note_all(*static_cast<const ucontext_t*>(context));
  } else if (block && ::getpid() == owner && crashing.load() != thread_id() && block->state.load() != static_cast<std::uint32_t>(CrashState::whole)) {
    // Another thread is dying, and with it all. Its notes come first; it asks for this one's, too.
    const timespec moment{0, 100'000'000};
    ::nanosleep(&moment, nullptr);
  }
  struct sigaction default_action {};
  default_action.sa_handler = SIG_DFL;
  ::sigaction(signal, &default_action, nullptr);
  // A fault happens again when its instruction is executed again; anything else is sent once more.
  const bool is_fault = info->si_code > 0 && (signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE);
  if (!is_fault) ::syscall(SYS_tgkill, ::getpid(), thread_id(), signal);
}

void copy_text(char* to, std::size_t size, const char* text) noexcept {
  std::strncpy(to, text ? text : "", size - 1);
}

void note_exception(const std::type_info* type, const char* what) noexcept {
  copy_text(block->exception_type, sizeof block->exception_type, type ? type->name() : "");
  copy_text(block->exception_what, sizeof block->exception_what, what);
}

[[noreturn]] void on_terminate() {
  if (block && ::getpid() == owner && crashing.load() == 0) {
    if (const std::type_info* type = abi::__cxa_current_exception_type()) {
      note_exception(type, "");
      try {
        throw;
      } catch (const std::exception& error) {
        note_exception(type, error.what());
      } catch (...) {
      }
    }
  }
  if (terminate_before) terminate_before();
  std::abort();
}

bool has_sanitizer() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;
#else
  return __asan_init || __tsan_init;
#endif
}

}  // namespace

void note_thrown(const std::type_info& type) noexcept {
  if (type == typeid(ExitSignal) || !begin_notes()) return;
  note_exception(&type, "");  // its text is in the reason that the muproc gives
  ucontext_t here;
  if (::getcontext(&here) == 0) note_all(here);
}

void install_crash_notes(std::shared_ptr<shm::OwnSegment> segment) {
  if (has_sanitizer()) return;
  static std::shared_ptr<shm::OwnSegment> kept;  // mapped for as long as there is a handler
  kept = std::move(segment);
  segment_begin = kept->at(0);
  owner = ::getpid();
  crashing = 0;
  block = reinterpret_cast<CrashBlock*>(kept->at(shm::k_crash_offset));

  stack_t stack{};
  if (::sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & SS_DISABLE)) {
    stack = {};
    stack.ss_sp = signal_stack;
    stack.ss_size = sizeof signal_stack;
    ::sigaltstack(&stack, nullptr);
  }
  struct sigaction action {};
  action.sa_sigaction = on_crash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (const int signal : k_signals) sigaddset(&action.sa_mask, signal);
  for (const int signal : k_signals) {
    struct sigaction before {};
    if (::sigaction(signal, nullptr, &before) == 0 && !(before.sa_flags & SA_SIGINFO) && before.sa_handler == SIG_DFL) ::sigaction(signal, &action, nullptr);
  }
  if (const auto handler = std::get_terminate(); handler != on_terminate) {
    terminate_before = handler;
    std::set_terminate(on_terminate);
  }
}

void note_this_thread_if_crashing(void* context) noexcept {
  if (!block || crashing.load(std::memory_order_relaxed) == 0 || ::getpid() != owner) return;
  const auto tid = static_cast<std::uint32_t>(thread_id());
  const std::uint32_t count = std::min(block->threads.load(std::memory_order_acquire), shm::k_crash_threads);
  for (std::uint32_t i = 1; i < count; ++i)
    if (block->thread[i].tid == tid) return note_thread(i, *static_cast<const ucontext_t*>(context));
}

}  // namespace muproc::detail
