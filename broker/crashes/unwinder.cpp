#include "broker/crashes/unwinder.hpp"

#include <cxxabi.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "wire/printable.hpp"

namespace muproc::broker {
namespace {

constexpr std::size_t k_most_frames = 128;

#if defined(__x86_64__)
constexpr unsigned k_registers = 17, k_sp = 7, k_pc = 16;
#else
constexpr unsigned k_registers = 32, k_sp = 31, k_pc = 32;
#endif

std::string text_or_nothing(const char* text) { return text ? wire::printable(text) : std::string(); }

/// One thread of the dead one, as libdw asks for it.
struct Walk {
  const DumpedThread& thread;
  std::vector<std::uint64_t> registers;
  bool was_given = false;
  std::vector<std::pair<std::uint64_t, bool>> pcs = {};  // and whether it is the very instruction, not a return address
};

pid_t next_thread(Dwfl*, void* arg, void** thread_arg) {
  auto& walk = *static_cast<Walk*>(arg);
  if (std::exchange(walk.was_given, true)) return 0;
  *thread_arg = &walk;
  return static_cast<pid_t>(walk.thread.tid);
}

bool read_memory(Dwfl*, Dwarf_Addr address, Dwarf_Word* result, void* arg) {
  const auto word = static_cast<Walk*>(arg)->thread.word_at(address);
  if (word) *result = *word;
  return word.has_value();
}

bool set_registers(Dwfl_Thread* thread, void* arg) {
  const auto& walk = *static_cast<Walk*>(arg);
  static_assert(sizeof(Dwarf_Word) == sizeof(std::uint64_t));
  if constexpr (k_pc >= k_registers) dwfl_thread_state_register_pc(thread, walk.registers[k_pc]);
  return dwfl_thread_state_registers(thread, 0, k_registers, walk.registers.data());
}

int see_frame(Dwfl_Frame* frame, void* arg) {
  auto& walk = *static_cast<Walk*>(arg);
  Dwarf_Addr pc;
  bool is_activation;
  if (!dwfl_frame_pc(frame, &pc, &is_activation) || pc == 0) return DWARF_CB_ABORT;
  walk.pcs.emplace_back(pc, is_activation);
  return walk.pcs.size() < k_most_frames ? DWARF_CB_OK : DWARF_CB_ABORT;
}

int see_thread(Dwfl_Thread* thread, void* arg) {
  dwfl_thread_getframes(thread, see_frame, arg);
  return DWARF_CB_ABORT;  // there is but one
}

constexpr Dwfl_Thread_Callbacks k_thread_callbacks = {next_thread, nullptr, read_memory, set_registers, nullptr, nullptr};

class Modules {
 public:
  explicit Modules(const CrashDump& dump) : dump_(dump), dwfl_(dwfl_begin(&k_callbacks)) {
    if (!dwfl_) return;
    dwfl_report_begin(dwfl_);
    std::string maps = dump.maps;
    if (FILE* file = maps.empty() ? nullptr : ::fmemopen(maps.data(), maps.size(), "r")) {
      dwfl_linux_proc_maps_report(dwfl_, file);
      std::fclose(file);
    }
    dwfl_report_end(dwfl_, nullptr, nullptr);
    dwfl_getmodules(dwfl_, see_module, this, 0);
  }
  ~Modules() {
    if (dwfl_) dwfl_end(dwfl_);
  }
  Modules(const Modules&) = delete;
  Modules& operator=(const Modules&) = delete;

  const std::vector<ReportedModule>& list() const { return list_; }
  bool covers(std::uint64_t pc) const { return dwfl_ && dwfl_addrmodule(dwfl_, pc); }

  Stack stack_of(const DumpedThread& thread);

 private:
  static const Dwfl_Callbacks k_callbacks;
  static int see_module(Dwfl_Module* module, void** data, const char* name, Dwarf_Addr base, void* arg);
  void describe(std::uint64_t pc, bool is_activation, std::vector<StackFrame>& frames) const;
  void add_inlined(Dwfl_Module* module, std::uint64_t pc, std::vector<StackFrame>& frames, StackFrame frame) const;

  const CrashDump& dump_;
  Dwfl* dwfl_;
  std::vector<ReportedModule> list_;
};

const Dwfl_Callbacks Modules::k_callbacks = {dwfl_linux_proc_find_elf, dwfl_standard_find_debuginfo, nullptr, nullptr};

int Modules::see_module(Dwfl_Module* module, void** data, const char* name, Dwarf_Addr base, void* arg) {
  auto& self = *static_cast<Modules*>(arg);
  if (std::string_view(name).starts_with("/memfd:")) return DWARF_CB_OK;  // shared memory, not code
  ReportedModule seen{base, text_or_nothing(name), {}, false};
  const auto noted = std::find_if(self.dump_.modules.begin(), self.dump_.modules.end(), [&](const DumpedModule& m) { return m.base == base; });
  if (noted != self.dump_.modules.end() && !noted->build_id.empty()) {
    for (const char c : noted->build_id) seen.build_id += fmt::format("{:02x}", static_cast<unsigned char>(c));
    GElf_Addr bias;
    const unsigned char* id = nullptr;
    GElf_Addr id_at;
    const bool is_there = dwfl_module_getelf(module, &bias) != nullptr;
    const int size = is_there ? dwfl_module_build_id(module, &id, &id_at) : -1;
    seen.has_changed = !is_there || size != static_cast<int>(noted->build_id.size()) ||
                       !std::equal(noted->build_id.begin(), noted->build_id.end(), reinterpret_cast<const char*>(id));
  }
  static char changed_mark;
  *data = seen.has_changed ? &changed_mark : nullptr;
  self.list_.push_back(std::move(seen));
  return DWARF_CB_OK;
}

Stack Modules::stack_of(const DumpedThread& thread) {
  Stack stack{thread.tid, thread.name, {}, {}};
  if (!thread.is_whole) {
    stack.note = "it did not get to note its stack in time";
    return stack;
  }
  if (!dwfl_ || thread.registers.size() <= k_pc) {
    stack.note = "it cannot be unwound here";
    return stack;
  }
  Walk walk{thread, thread.registers};
  // A call of what is no function: its caller's address is on the top of the stack.
  const std::uint64_t called = walk.registers[k_pc];
  const bool is_wild = !covers(called);
#if defined(__x86_64__)
  if (const auto caller = thread.word_at(walk.registers[k_sp]); is_wild && caller) {
    walk.registers[k_pc] = *caller;
    walk.registers[k_sp] += 8;
  }
#endif
  if (is_wild) describe(called, true, stack.frames);
  // Attached anew for each thread, in a session of its own: libdw attaches a session but once.
  Modules session(dump_);
  if (!session.dwfl_ || !dwfl_attach_state(session.dwfl_, nullptr, static_cast<pid_t>(std::max<std::uint32_t>(thread.tid, 1)), &k_thread_callbacks, &walk)) {
    stack.note = fmt::format("it cannot be unwound: {}", text_or_nothing(dwfl_errmsg(-1)));
    return stack;
  }
  dwfl_getthreads(session.dwfl_, see_thread, &walk);
  bool is_first = true;
  for (const auto& [pc, is_activation] : walk.pcs) {
    describe(pc, is_activation && !(is_first && is_wild), stack.frames);
    is_first = false;
  }
  if (walk.pcs.size() >= k_most_frames) stack.note = "it goes on";
  return stack;
}

void Modules::describe(std::uint64_t pc, bool is_activation, std::vector<StackFrame>& frames) const {
  StackFrame frame;
  frame.pc = pc;
  // A return address may be the first of another line, or of another function: what counts is the call before it.
  const std::uint64_t at = is_activation ? pc : pc - 1;
  Dwfl_Module* module = dwfl_addrmodule(dwfl_, at);
  if (!module) {
    frames.push_back(std::move(frame));
    return;
  }
  void** data = nullptr;
  Dwarf_Addr begin = 0;
  frame.module = text_or_nothing(dwfl_module_info(module, &data, &begin, nullptr, nullptr, nullptr, nullptr, nullptr));
  frame.offset = pc - begin;
  if (data && *data) {
    frames.push_back(std::move(frame));
    return;
  }
  GElf_Off offset;
  GElf_Sym symbol;
  if (const char* name = dwfl_module_addrinfo(module, at, &offset, &symbol, nullptr, nullptr, nullptr)) frame.function = demangled(name);
  if (Dwfl_Line* line = dwfl_module_getsrc(module, at)) frame.file = text_or_nothing(dwfl_lineinfo(line, nullptr, &frame.line, nullptr, nullptr, nullptr));
  add_inlined(module, at, frames, std::move(frame));
}

/// Innermost first: what was inlined there, then the function itself.
void Modules::add_inlined(Dwfl_Module* module, std::uint64_t pc, std::vector<StackFrame>& frames, StackFrame frame) const {
  Dwarf_Addr bias = 0;
  Dwarf_Die* unit = dwfl_module_addrdie(module, pc, &bias);
  Dwarf_Die* scopes = nullptr;
  const int count = unit ? dwarf_getscopes(unit, pc - bias, &scopes) : 0;
  Dwarf_Files* files = nullptr;
  std::size_t file_count = 0;
  if (count > 0) dwarf_getsrcfiles(unit, &files, &file_count);
  for (int i = 0; i < count && frames.size() < 4 * k_most_frames; ++i) {
    if (dwarf_tag(&scopes[i]) != DW_TAG_inlined_subroutine) continue;
    StackFrame inlined = frame;
    inlined.is_inlined = true;
    Dwarf_Attribute attribute;
    const char* name = nullptr;
    for (const unsigned kind : {static_cast<unsigned>(DW_AT_linkage_name), static_cast<unsigned>(DW_AT_name)})
      if (!name && dwarf_attr_integrate(&scopes[i], kind, &attribute)) name = dwarf_formstring(&attribute);
    inlined.function = name ? demangled(name) : "";
    frames.push_back(std::move(inlined));
    // The place of the next one is where this one was called.
    Dwarf_Word file = 0, line = 0;
    if (dwarf_attr(&scopes[i], DW_AT_call_file, &attribute)) dwarf_formudata(&attribute, &file);
    if (dwarf_attr(&scopes[i], DW_AT_call_line, &attribute)) dwarf_formudata(&attribute, &line);
    frame.file = files && file < file_count ? text_or_nothing(dwarf_filesrc(files, file, nullptr, nullptr)) : "";
    frame.line = static_cast<int>(line);
  }
  std::free(scopes);
  frames.push_back(std::move(frame));
}

}  // namespace

std::string demangled(const std::string& name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), &std::free);
  return status == 0 ? wire::printable(text.get()) : wire::printable(name);
}

Unwound unwind(const CrashDump& dump) {
  ::unsetenv("DEBUGINFOD_URLS");  // nothing is fetched from anywhere
  Modules modules(dump);
  Unwound unwound;
  for (const DumpedThread& thread : dump.threads) unwound.stacks.push_back(modules.stack_of(thread));
  unwound.modules = modules.list();
  return unwound;
}

}  // namespace muproc::broker
