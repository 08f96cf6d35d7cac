#include "sys/process_usage.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string>

namespace muproc::sys {
namespace {

/// The numbers behind the name and the state, from field 4 on: of proc(5).
constexpr std::size_t k_first = 4, k_user = 14, k_system = 15, k_threads = 20, k_resident = 24;

std::chrono::nanoseconds from_clock_ticks(std::uint64_t ticks) {
  static const auto per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  return std::chrono::nanoseconds(static_cast<std::int64_t>(ticks * (1'000'000'000 / per_second)));
}

}  // namespace

std::optional<ProcessUsage> parse_process_stat(std::string_view text) {
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const auto name_end = text.rfind(')');  // a name may hold anything
  if (name_end == text.npos || text.size() < name_end + 4) return std::nullopt;
  ProcessUsage usage;
  usage.state = text[name_end + 2];
  std::array<std::uint64_t, k_resident + 1> fields{};
  const char* at = text.data() + name_end + 3;
  const char* const end = text.data() + text.size();
  for (std::size_t field = k_first; field <= k_resident; ++field) {
    while (at < end && (*at == ' ' || *at == '-')) ++at;  // the negative ones are none of ours
    const auto [next, error] = std::from_chars(at, end, fields[field]);
    if (error != std::errc()) return std::nullopt;
    at = next;
  }
  usage.cpu = from_clock_ticks(fields[k_user] + fields[k_system]);
  usage.threads = static_cast<std::uint32_t>(fields[k_threads]);
  usage.resident = fields[k_resident] * page;
  return usage;
}

ProcessProbe::ProcessProbe(int os_pid)
    : stat_(::open(("/proc/" + std::to_string(os_pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC)) {}

std::optional<ProcessUsage> ProcessProbe::look() const {
  if (!stat_) return std::nullopt;
  char text[1024];
  const ssize_t got = ::pread(stat_.get(), text, sizeof text, 0);
  if (got <= 0) return std::nullopt;
  return parse_process_stat({text, static_cast<std::size_t>(got)});
}

}  // namespace muproc::sys
