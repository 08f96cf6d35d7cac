#include "broker/crashes/crash_report.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>

#include <muproc/reason.hpp>

#include "broker/sandbox.hpp"
#include "wire/json.hpp"
#include "wire/printable.hpp"

namespace muproc::broker {
namespace {

struct CodeWords {
  int signal, code;
  const char* words;
};
#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1
#endif
constexpr auto k_codes = std::to_array<CodeWords>({
    {SIGSYS, SYS_SECCOMP, "SYS_SECCOMP: its sandbox does not permit the system call"},
    {SIGSEGV, SEGV_MAPERR, "SEGV_MAPERR: nothing is mapped there"},
    {SIGSEGV, SEGV_ACCERR, "SEGV_ACCERR: what is mapped there does not permit it"},
    {SIGBUS, BUS_ADRALN, "BUS_ADRALN: the address is not aligned"},
    {SIGBUS, BUS_ADRERR, "BUS_ADRERR: there is no memory behind it, or the file has become shorter"},
    {SIGBUS, BUS_OBJERR, "BUS_OBJERR: the hardware says so"},
    {SIGILL, ILL_ILLOPC, "ILL_ILLOPC: no such instruction"},
    {SIGILL, ILL_ILLOPN, "ILL_ILLOPN: no such operand"},
    {SIGFPE, FPE_INTDIV, "FPE_INTDIV: an integer was divided by zero"},
    {SIGFPE, FPE_INTOVF, "FPE_INTOVF: an integer has overflown"},
    {SIGFPE, FPE_FLTDIV, "FPE_FLTDIV: a float was divided by zero"},
    {SIGFPE, FPE_FLTINV, "FPE_FLTINV: an invalid operation of floats"},
});

std::string signal_name(int signal) {
  const std::string name = to_string(Reason::signal(signal));
  return name.starts_with("signal ") ? name.substr(7) : name;
}

std::string when(std::int64_t wall_ns) {
  const std::time_t second = wall_ns / 1'000'000'000;
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:06}", fmt::localtime(second), wall_ns / 1000 % 1'000'000);
}

std::string file_name(const std::string& path) { return std::filesystem::path(path).filename().native(); }

/// It touched what lies right below the part of its stack that there is.
bool is_stack_overflow(const CrashDump& dump) {
  constexpr std::uint64_t k_near = 256 * 1024;
  if (dump.signal != SIGSEGV || dump.threads.empty()) return false;
  const std::uint64_t stack = dump.threads.front().stack_address;
  return dump.address < stack && stack - dump.address < k_near;
}

/// The register in which a system call's number is passed.
#if defined(__aarch64__)
constexpr std::size_t k_call_register = 8;
#else
constexpr std::size_t k_call_register = 0;
#endif

/// The system call for which its sandbox has ended it, or empty.
std::string refused_call(const CrashDump& dump) {
  if (dump.signal != SIGSYS || dump.code != SYS_SECCOMP || dump.threads.empty()) return {};
  const auto& registers = dump.threads.front().registers;
  constexpr std::uint64_t k_most = 0xffff;
  if (registers.size() <= k_call_register || registers[k_call_register] > k_most) return {};
  return system_call_name(static_cast<int>(registers[k_call_register]));
}

std::string signal_line(const CrashReport& report) {
  std::string line = signal_name(report.signal);
  if (!report.dump || report.dump->signal != report.signal) return line;
  const CrashDump& dump = *report.dump;
  if (const auto words = signal_code_in_words(dump.signal, dump.code, dump.sender); !words.empty()) line += ", " + words;
  if (const auto call = refused_call(dump); !call.empty()) line += " " + call;
  if (dump.code > 0 && dump.signal != SIGABRT) line += fmt::format("; at {:#x}", dump.address);
  if (is_stack_overflow(dump)) line += "; the stack has overflown";
  return line;
}

/// Names of templates may be longer than a page; the JSON has them whole.
std::string cut(const std::string& function) {
  constexpr std::size_t k_longest = 200;
  return function.size() <= k_longest ? function : wire::valid_utf8(function.substr(0, k_longest)) + "...";
}

std::string frame_line(std::size_t number, const StackFrame& frame) {
  std::string line = frame.is_inlined ? fmt::format("  {:>3}  (inlined)        ", "") : fmt::format("  #{:<3} {:#018x}", number, frame.pc);
  line += " " + (frame.function.empty() ? "?" : cut(frame.function));
  if (!frame.file.empty()) line += fmt::format(" at {}:{}", frame.file, frame.line);
  if (!frame.is_inlined && !frame.module.empty()) line += fmt::format(" in {}+{:#x}", file_name(frame.module), frame.offset);
  return line;
}

void append_stack(std::string& text, const Stack& stack, bool is_culprit) {
  text += fmt::format("\nthread {} \"{}\"{}\n", stack.tid, stack.name, is_culprit ? ", which crashed" : "");
  std::size_t number = 0;
  for (const StackFrame& frame : stack.frames) {
    text += frame_line(number, frame) + '\n';
    number += !frame.is_inlined;
  }
  if (!stack.note.empty()) text += "  (" + stack.note + ")\n";
}

}  // namespace

std::string signal_code_in_words(int signal, int code, int sender) {
  if (code == SI_USER || code == SI_QUEUE) return fmt::format("sent by process {}", sender);
  if (code == SI_TKILL) return fmt::format("sent by process {} to the thread, as abort() and raise() do", sender);
  if (code == SI_KERNEL) return "SI_KERNEL: of the kernel's own accord; no address is known";
  const auto known = std::find_if(k_codes.begin(), k_codes.end(), [&](const CodeWords& words) { return words.signal == signal && words.code == code; });
  return known == k_codes.end() ? fmt::format("code {}", code) : known->words;
}

std::string to_text(const CrashReport& report) {
  std::string text;
  const auto line = [&](const char* what, const std::string& value) {
    if (!value.empty()) text += fmt::format("{:<11} {}\n", what, value);
  };
  line("muproc", fmt::format("{} {}, process {}", wire::printable(report.name), report.pid, report.os_pid));
  line("ended", fmt::format("{}, after {}", when(report.wall_ns), fmt::format("{:.6f} s", static_cast<double>(report.uptime_ns) / 1e9)));
  line("reason", wire::printable(report.reason));
  if (report.signal) line("signal", signal_line(report));
  if (report.dump && !report.dump->exception_type.empty())
    line("exception", demangled(report.dump->exception_type) + (report.dump->exception_what.empty() ? "" : ": " + report.dump->exception_what));
  line("core", report.core_dumped ? "dumped" : "");
  line("code", wire::printable(report.code));
  line("restarts", fmt::format("{} before this end", report.restarts));
  line("supervisor", wire::printable(report.decision));
  for (const auto& message : report.in_hand)
    line("in hand", fmt::format("{} from {}, sent {:.6f} s before{}{}", message.type, wire::printable(message.sender), message.age_seconds,
                                message.fate.empty() ? "" : ": ", message.fate));
  if (report.in_hand.empty()) line("in hand", "no message");
  if (report.unreported) line("also", fmt::format("{} ends like this since the previous report came too fast to be reported", report.unreported));

  if (!report.dump) text += "\nIt has left no stack: it was killed, or has no handler of ours.\n";
  if (report.dump && !report.dump->is_whole) text += "\nIt was ended while it noted its stacks: they may be wrong.\n";
  for (const Stack& stack : report.unwound.stacks) append_stack(text, stack, &stack == &report.unwound.stacks.front());

  if (!report.last_lines.empty()) text += fmt::format("\nits last {} lines\n", report.last_lines.size());
  for (const LastLine& last : report.last_lines) text += fmt::format("  {:<5} {}\n", last.word, wire::printable(last.text));

  if (!report.unwound.modules.empty()) text += "\nmodules\n";
  for (const ReportedModule& module : report.unwound.modules)
    text += fmt::format("  {:#018x} {}{}{}\n", module.base, module.path, module.build_id.empty() ? "" : " build id " + module.build_id,
                        module.has_changed ? " (is another one on disk now)" : "");
  return text;
}

std::string to_json(const CrashReport& report) {
  wire::JsonWriter json;
  json.begin_object();
  json.field("name", std::string_view(report.name)).field("pid", std::string_view(report.pid)).field("os_pid", report.os_pid);
  json.field("time_ns", report.wall_ns).field("uptime_ns", report.uptime_ns).field("reason", std::string_view(report.reason));
  json.key("signal");
  report.signal ? json.value(std::string_view(signal_name(report.signal))) : json.value(nullptr);
  const bool is_noted = report.dump && report.dump->signal != 0 && report.dump->signal == report.signal;
  json.key("signal_code");
  is_noted ? json.value(std::string_view(signal_code_in_words(report.dump->signal, report.dump->code, report.dump->sender))) : json.value(nullptr);
  json.key("address");
  is_noted && report.dump->code > 0 ? json.value(std::string_view(fmt::format("{:#x}", report.dump->address))) : json.value(nullptr);
  const std::string call = is_noted ? refused_call(*report.dump) : std::string();
  json.key("system_call");
  call.empty() ? json.value(nullptr) : json.value(std::string_view(call));
  json.field("stack_overflow", report.dump && is_stack_overflow(*report.dump));
  json.field("core_dumped", report.core_dumped);
  json.key("exception");
  if (report.dump && !report.dump->exception_type.empty()) {
    json.begin_object().field("type", std::string_view(demangled(report.dump->exception_type)));
    json.field("what", std::string_view(report.dump->exception_what)).end_object();
  } else {
    json.value(nullptr);
  }
  json.field("code", std::string_view(report.code)).field("restarts", report.restarts).field("decision", std::string_view(report.decision));
  json.field("unreported", report.unreported);
  json.key("in_hand").begin_array();
  for (const auto& message : report.in_hand)
    json.begin_object().field("sender", std::string_view(message.sender)).field("type", std::string_view(message.type)).field("age_seconds", message.age_seconds).field("fate", std::string_view(message.fate)).end_object();
  json.end_array();
  json.field("stacks_are_whole", report.dump && report.dump->is_whole);
  json.key("threads").begin_array();
  for (const Stack& stack : report.unwound.stacks) {
    json.begin_object().field("tid", stack.tid).field("name", std::string_view(stack.name));
    json.field("crashed", &stack == &report.unwound.stacks.front());
    json.key("frames").begin_array();
    for (const StackFrame& frame : stack.frames) {
      json.begin_object().field("pc", std::string_view(fmt::format("{:#x}", frame.pc))).field("inlined", frame.is_inlined);
      const auto text_or_null = [&](const char* name, const std::string& text) {
        json.key(name);
        text.empty() ? json.value(nullptr) : json.value(std::string_view(text));
      };
      text_or_null("function", frame.function);
      text_or_null("file", frame.file);
      json.field("line", frame.line);
      text_or_null("module", frame.module);
      json.field("offset", frame.offset).end_object();
    }
    json.end_array().key("note");
    stack.note.empty() ? json.value(nullptr) : json.value(std::string_view(stack.note));
    json.end_object();
  }
  json.end_array().key("last_lines").begin_array();
  for (const LastLine& last : report.last_lines)
    json.begin_object().field("word", std::string_view(last.word)).field("text", std::string_view(last.text)).end_object();
  json.end_array().key("modules").begin_array();
  for (const ReportedModule& module : report.unwound.modules)
    json.begin_object().field("base", std::string_view(fmt::format("{:#x}", module.base))).field("path", std::string_view(module.path))
        .field("build_id", std::string_view(module.build_id)).field("has_changed", module.has_changed).end_object();
  json.end_array().end_object();
  return json.take() + '\n';
}

}  // namespace muproc::broker
