// The long form of a test: tools/soak.sh sets MUPROC_SOAK_MINUTES; without it tests are short.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdlib>

namespace muproc::test {

/// How long a soak is to take; zero: this is no soak.
inline std::chrono::minutes soak_time() {
  const char* minutes = std::getenv("MUPROC_SOAK_MINUTES");
  return std::chrono::minutes(minutes ? std::strtol(minutes, nullptr, 10) : 0);
}
inline bool is_soak() { return soak_time().count() > 0; }

/// The time that one of so many parts has; none when it is no soak.
class SoakShare {
 public:
  explicit SoakShare(std::size_t parts) : end_(std::chrono::steady_clock::now() + std::chrono::seconds(soak_time()) / parts) {}
  bool is_left() const { return is_soak() && std::chrono::steady_clock::now() < end_; }

 private:
  std::chrono::steady_clock::time_point end_;
};

}  // namespace muproc::test
