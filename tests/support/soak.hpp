// The long form of a test: tools/soak.sh sets MUPROC_SOAK_MINUTES; without it tests are short.
#pragma once

#include <chrono>
#include <cstdlib>

namespace muproc::test {

/// How long a soak is to take; zero: this is no soak.
inline std::chrono::minutes soak_time() {
  const char* minutes = std::getenv("MUPROC_SOAK_MINUTES");
  return std::chrono::minutes(minutes ? std::strtol(minutes, nullptr, 10) : 0);
}
inline bool is_soak() { return soak_time().count() > 0; }

}  // namespace muproc::test
