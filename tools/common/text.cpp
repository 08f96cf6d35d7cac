#include "tools/common/text.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>

namespace muproc::tools {

using namespace std::chrono;

std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string short_duration(nanoseconds duration) {
  const auto ms = duration_cast<milliseconds>(duration).count();
  if (ms < 1000) return fmt::format("{}ms", ms);
  const auto s = ms / 1000;
  if (s < 60) return ms % 1000 < 100 ? fmt::format("{}s", s) : fmt::format("{}.{}s", s, ms % 1000 / 100);
  const auto two = [](auto big, char unit, auto small, char small_unit) {
    return small == 0 ? fmt::format("{}{}", big, unit) : fmt::format("{}{}{:02}{}", big, unit, small, small_unit);
  };
  if (s < 3600) return two(s / 60, 'm', s % 60, 's');
  if (s < 86400) return two(s / 3600, 'h', s / 60 % 60, 'm');
  return two(s / 86400, 'd', s / 3600 % 24, 'h');
}

std::string local_time(std::int64_t wall_ns) {
  const std::time_t second = wall_ns / 1'000'000'000;
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:06}", fmt::localtime(second), wall_ns / 1000 % 1'000'000);
}

}  // namespace muproc::tools
