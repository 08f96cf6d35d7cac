// From names of users and groups to numbers.
//
// Names are looked up when a plan is made: once at the launch, not at every restart. That may take the machine's time (a
// directory server that does not answer), so it is done for plans that name somebody only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sys/settings.hpp"

namespace muproc::broker {

/// Names or numbers. An empty user or group is the broker's; but with a user, an empty group is the user's own, and
/// absent groups are those that the user is in. Nothing when all three say nothing. Throws std::invalid_argument that
/// names who is not there.
std::optional<sys::ProcessSettings::Identity> identity_of(const std::string& user, const std::string& group,
                                                          const std::optional<std::vector<std::string>>& groups);

}  // namespace muproc::broker
