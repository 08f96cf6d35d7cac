// What tests cannot see when a sanitizer stands between them and the machine.
#pragma once

namespace muproc::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool k_under_sanitizer = true;
#else
inline constexpr bool k_under_sanitizer = false;
#endif

}  // namespace muproc::test
