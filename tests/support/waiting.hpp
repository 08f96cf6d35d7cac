// Waiting for conditions. Tests never sleep and never assert a maximum time: they wait until something holds, and when it
// still does not after a time that nobody should need, they say what they waited for.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace muproc::test {

/// Longer than anything takes on a busy machine under a sanitizer, and shorter than a test's own time limit.
inline constexpr std::chrono::seconds k_patience{40};

/// Fails the test: "waited 40 s for …".
[[noreturn]] void waited_in_vain(std::string_view what);

namespace detail {
class Watchdog {
 public:
  /// Lets others run for a moment; false when patience is at its end.
  bool go_on();

 private:
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  unsigned rounds_ = 0;
};
}  // namespace detail

/// Looks again and again until the predicate holds. What it returned then is returned: a pid that was found, a text.
template <class Predicate>
auto wait_until(std::string_view what, Predicate&& predicate) {
  for (detail::Watchdog watchdog;;) {
    if (auto result = predicate()) return result;
    if (!watchdog.go_on()) waited_in_vain(what);
  }
}

}  // namespace muproc::test
