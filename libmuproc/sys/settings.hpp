// What a process is to be by the kernel's word: its limits, its priority, its processors, its user.
//
// They are prepared before a clone and applied in it, between the clone and the first of the muproc's own code, both
// when the clone goes on in its image and when it is about to exec. `apply` allocates nothing and makes
// async-signal-safe calls only. Whatever needs a privilege is applied before the user changes, in an order that gives
// each the best chance, and the sandbox comes last, since nothing of the rest could be done in it. The first step that fails
// ends it, and the process must not go on: it would run with less restraint than somebody wanted.
//
// A change of user makes the kernel forget the parent-death signal: whoever applies settings sets it afterwards.
#pragma once

#include <sched.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sys/confinement.hpp"

namespace muproc::sys {

struct ProcessSettings {
  struct Limit {
    int resource;  // RLIMIT_…
    rlimit value;
  };
  struct Identity {
    uid_t uid;
    gid_t gid;
    std::vector<gid_t> groups;  // supplementary ones
  };

  std::vector<Limit> limits;
  std::optional<cpu_set_t> cpus;
  std::optional<int> nice;
  std::string oom_score_adj;   // as it is written; empty: unchanged
  std::optional<mode_t> umask;
  std::optional<Identity> identity;
  std::string cwd;             // entered as the new user; empty: unchanged
  std::optional<Confinement> confinement;

  /// Adds a limit, or replaces the one on that resource.
  void limit(int resource, rlimit value);
  void limit(int resource, std::uint64_t value) { limit(resource, rlimit{value, value}); }
};

/// Which step failed; fit to be sent through a pipe.
struct SettingsFailure {
  enum class Step : std::int32_t { none, limit, cpus, nice, oom_score_adj, groups, gid, uid, chdir, no_new_privileges, landlock, writable, filter };
  Step step = Step::none;
  std::int32_t resource = 0;  // of `limit`; of `writable`, which one
  std::int32_t error = 0;     // errno

  explicit operator bool() const { return step != Step::none; }
};

/// Applies them to this process. Async-signal-safe.
SettingsFailure apply(const ProcessSettings& settings) noexcept;

/// "setrlimit RLIMIT_NOFILE: Operation not permitted", "chdir /no/such/place: No such file or directory".
std::string to_string(const SettingsFailure& failure, const ProcessSettings& settings);

/// "RLIMIT_NOFILE".
const char* resource_name(int resource) noexcept;

}  // namespace muproc::sys
