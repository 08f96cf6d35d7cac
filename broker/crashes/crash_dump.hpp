// What a dead muproc has left in the crash area of its segment (shm/layout.hpp), copied and checked.
//
// It may have scribbled there before it died: counts are cut to what there can be, texts to what is printable, and
// addresses are looked up in the copies only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace muproc::broker {

struct DumpedThread {
  std::uint32_t tid = 0;
  std::string name;
  bool is_whole = false;  // else its registers and its stack may be another moment's, or none
  std::vector<std::uint64_t> registers;
  std::uint64_t stack_address = 0;
  std::string stack;

  /// The word at that address of its stack.
  std::optional<std::uint64_t> word_at(std::uint64_t address) const;
};

struct DumpedModule {
  std::uint64_t base = 0;
  std::string build_id;  // bytes
};

struct CrashDump {
  bool is_whole = false;
  int signal = 0, code = 0;
  std::uint64_t address = 0;
  int sender = 0;
  std::string exception_type, exception_what;  // the type's name as the compiler has it
  std::string maps;
  std::vector<DumpedModule> modules;
  std::vector<DumpedThread> threads;  // the one that crashed comes first
};

/// Nothing when it left nothing: it was killed, it never had the runtime, it has handlers of its own. Throws
/// std::system_error when the memory cannot be read.
std::optional<CrashDump> read_crash_dump(int memfd);

}  // namespace muproc::broker
