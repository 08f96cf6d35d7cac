// What tests cannot see when a sanitizer stands between them and the machine: a named condition for each reason.
#pragma once

namespace muproc::test {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool k_under_thread_sanitizer = true;
#else
inline constexpr bool k_under_thread_sanitizer = false;
#endif
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool k_under_sanitizer = true;
#else
inline constexpr bool k_under_sanitizer = k_under_thread_sanitizer;
#endif

/// A sanitizer's own tables are private memory of each process, larger than any limit, and it keeps what was freed.
inline constexpr bool k_memory_is_ours = !k_under_sanitizer;
/// A sanitizer takes SIGSEGV and its like for itself: its report, and an exit by a status, are the end. No notes are taken.
inline constexpr bool k_crashes_are_ours = !k_under_sanitizer;
/// A sanitizer looks for leaks when a program ends, by system calls that a strict sandbox does not permit.
inline constexpr bool k_ends_in_a_sandbox = !k_under_sanitizer;

}  // namespace muproc::test
