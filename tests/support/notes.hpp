// What shells that a test starts note for it: the numbers of their processes.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/waiting.hpp"

namespace muproc::test {

/// A file for them, another each time, in the folder that goes with the test.
inline std::filesystem::path notes() {
  static int count = 0;
  return std::filesystem::path(std::getenv("MUPROC_RUNTIME_DIR")) / ("notes-" + std::to_string(++count));
}

/// The OS pids that a shell has noted in a file, one a line, once there are so many.
inline std::vector<pid_t> noted(const std::filesystem::path& file, std::size_t count) {
  std::vector<pid_t> pids;
  wait_until("notes in " + file.string(), [&] {
    pids.clear();
    std::ifstream in(file);
    for (pid_t pid; in >> pid;) pids.push_back(pid);
    return pids.size() >= count;
  });
  return pids;
}

}  // namespace muproc::test
