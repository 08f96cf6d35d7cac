// What holds of every segment of a system, and of every channel, whoever has just died: looked at from outside, through
// the broker's descriptors. For a system in which nobody moves at the moment.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace muproc::test {

/// Each breach, in words; none in a system that is right.
std::vector<std::string> breaches(const std::filesystem::path& folder);
/// Open channels, of the dead too, whose receivers may not have read all.
std::size_t open_channels(const std::filesystem::path& folder);

/// What a process holds of the system: all its descriptors, and its maps of memfds.
struct Holdings {
  std::size_t descriptors = 0, maps = 0;
  friend bool operator==(const Holdings&, const Holdings&) = default;
};
Holdings holdings_of(int os_pid);
std::string to_string(const Holdings& holdings);

}  // namespace muproc::test
