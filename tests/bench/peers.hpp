// The peers: what others need for the same, measured in the same run. Each is a client of our own in peers/, a program that
// is called as `CLIENT WHAT CORE CORE` and prints a histogram's text in ns, or, for a stream, one number: messages a second.
#pragma once

#include <filesystem>

#include "bench/row.hpp"

namespace muproc::bench {

/// The rows of those clients that are in the folder.
void add_peers(Rows& rows, Cores cores, const std::filesystem::path& folder);

}  // namespace muproc::bench
