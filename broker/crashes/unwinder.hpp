// From a dump to stacks that people can read: elfutils' libdw unwinds by the modules' call frame information, in the copies
// that the dead one left, and finds names and lines where there are symbols and debug info.
//
// Slow: it reads debug info. For a process of its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "broker/crashes/crash_dump.hpp"

namespace muproc::broker {

struct StackFrame {
  std::uint64_t pc = 0;
  bool is_inlined = false;   // into the next one, whose pc it shares
  std::string function;      // demangled; empty: unknown
  std::string file;          // of the source; empty: unknown
  int line = 0;
  std::string module;        // path; empty: unknown
  std::uint64_t offset = 0;  // in the module
};

struct Stack {
  std::uint32_t tid = 0;
  std::string name;
  std::vector<StackFrame> frames;
  std::string note;  // why it is not complete; empty: it is
};

struct ReportedModule {
  std::uint64_t base = 0;
  std::string path;
  std::string build_id;     // in hex; empty: none
  bool has_changed = false; // on disk there is another one now, so its frames have no names
};

struct Unwound {
  std::vector<Stack> stacks;
  std::vector<ReportedModule> modules;
};

Unwound unwind(const CrashDump& dump);

/// "std::runtime_error" of "St13runtime_error"; what is no mangled name stays as it is.
std::string demangled(const std::string& name);

}  // namespace muproc::broker
