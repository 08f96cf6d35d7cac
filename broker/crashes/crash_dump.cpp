#include "broker/crashes/crash_dump.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "shm/layout.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "wire/printable.hpp"

namespace muproc::broker {
namespace {

void read_at(int memfd, std::size_t offset, void* to, std::size_t size) {
  for (std::size_t done = 0; done < size;) {
    const ssize_t got = ::pread(memfd, static_cast<char*>(to) + done, size - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (sys::check(got, "read", "a segment") == 0) sys::throw_errno("read", "a segment", EIO);
    done += static_cast<std::size_t>(got);
  }
}

std::string bytes_at(int memfd, std::size_t offset, std::uint64_t size, std::size_t most) {
  std::string bytes(static_cast<std::size_t>(std::min<std::uint64_t>(size, most)), '\0');
  if (!bytes.empty()) read_at(memfd, offset, bytes.data(), bytes.size());
  return bytes;
}

template <std::size_t n>
std::string text_of(const char (&text)[n]) {
  return wire::printable({text, ::strnlen(text, n)});
}

bool is_whole(std::uint32_t state) { return state == static_cast<std::uint32_t>(shm::CrashState::whole); }

DumpedThread thread_of(int memfd, const shm::CrashThread& from, std::size_t index) {
  DumpedThread thread;
  thread.tid = from.tid;
  thread.name = text_of(from.name);
  thread.is_whole = is_whole(from.state.load(std::memory_order_relaxed));
  if (!thread.is_whole) return thread;
  thread.registers.assign(std::begin(from.registers), std::end(from.registers));
  thread.stack_address = from.stack_address;
  thread.stack = bytes_at(memfd, shm::crash_stack_offset(index), from.stack_bytes, shm::crash_stack_size(index));
  return thread;
}

}  // namespace

std::optional<std::uint64_t> DumpedThread::word_at(std::uint64_t address) const {
  std::uint64_t word;
  if (address < stack_address || address - stack_address > stack.size() || stack.size() - (address - stack_address) < sizeof word) return std::nullopt;
  std::memcpy(&word, stack.data() + (address - stack_address), sizeof word);
  return word;
}

std::optional<CrashDump> read_crash_dump(int memfd) {
  if (sys::file_size(memfd) != shm::k_segment_size) return std::nullopt;
  const auto block = std::make_unique<shm::CrashBlock>();
  read_at(memfd, shm::k_crash_offset, static_cast<void*>(block.get()), sizeof *block);
  const std::uint32_t state = block->state.load(std::memory_order_relaxed);
  if (state == static_cast<std::uint32_t>(shm::CrashState::none)) {
    // An exception may be noted by a process that was killed before it came to its signal.
    if (block->exception_type[0] == '\0') return std::nullopt;
  }
  CrashDump dump;
  dump.is_whole = is_whole(state);
  dump.signal = block->signal;
  dump.code = block->code;
  dump.address = block->address;
  dump.sender = block->sender;
  dump.exception_type = text_of(block->exception_type);
  dump.exception_what = text_of(block->exception_what);
  dump.maps = bytes_at(memfd, shm::k_crash_maps_offset, block->maps_bytes, shm::k_crash_maps_size);
  for (std::uint32_t i = 0; i < std::min(block->modules, shm::k_crash_modules); ++i) {
    const shm::CrashModule& module = block->module[i];
    const auto size = std::min<std::size_t>(module.build_id_size, shm::k_build_id_size);
    dump.modules.push_back({module.base, std::string(reinterpret_cast<const char*>(module.build_id), size)});
  }
  const std::uint32_t threads = std::min(block->threads.load(std::memory_order_relaxed), shm::k_crash_threads);
  for (std::uint32_t i = 0; i < threads; ++i) dump.threads.push_back(thread_of(memfd, block->thread[i], i));
  return dump;
}

}  // namespace muproc::broker
