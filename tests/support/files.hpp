// Files of a test.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace muproc::test {

/// The test's own runtime directory: systems' folders, and whatever else a test wants to put there.
inline std::filesystem::path runtime_dir() { return std::getenv("MUPROC_RUNTIME_DIR"); }

/// All that is in it, byte for byte; nothing when it is not there.
inline std::string contents(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace muproc::test
