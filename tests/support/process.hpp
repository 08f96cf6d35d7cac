// The proof that no process that a test has started, nor any of their descendants, is left behind. (Starting them: class
// Process of <muproc/testing.hpp>.)
//
// The test's own process is made the reaper of orphans, so whoever loses its parent becomes the test's child. When
// `nobody_is_left` returns, no descendant lives. Only what descends from the test is ever looked at or killed.
#pragma once

#include <muproc/testing.hpp>

#include <sys/types.h>

#include <csignal>
#include <vector>

namespace muproc::test {

/// Called once, before anything is started.
void adopt_orphans();

/// The OS pids of the test's own children, zombies included.
std::vector<pid_t> own_children();

/// Waits until no descendant of this process is left, but for the children named. Those that do not go are killed, and
/// the test fails.
void nobody_is_left(const std::vector<pid_t>& but = {});

}  // namespace muproc::test
