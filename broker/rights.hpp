// What a muproc may do to others, by its plan; and what those that it spawns have from it.
//
// A right is checked where it would be used: a channel at its opening, control at each request. That holds for what a
// muproc asks over its own connection and, where its process group gives it away, over control.sock. It does not hold a
// hostile program that runs as the broker's own user, which can do worse by other ways: give it a user of its own.
//
// Whoever is spawned has no more rights than its spawner, runs as the same user, and is in the same sandbox or a narrower one.
#pragma once

#include <string>

#include "broker/plan.hpp"

namespace muproc::broker {

/// Why the one with this plan (null: an outsider, who may) cannot send to `receiver`, or empty.
std::string why_not_send(const Plan* sender, const std::string& receiver);
/// Why it may not control others, or empty.
std::string why_not_control(const Plan* asker);
/// Why it may not have the system take on another config, or empty: what that launches is in no sandbox.
std::string why_not_reload(const Plan* asker);
/// Loading a module runs code of it in a zygote, which is the broker's user and in no sandbox.
bool may_load_modules(const Plan& plan);
/// True when control.sock would give it more than its own connection.
bool is_restricted(const Plan& plan);

/// The plan as its spawner's rights leave it. Throws std::invalid_argument when it asks for a user that the spawner
/// cannot give.
PlanPtr inherited(PlanPtr plan, const Plan* spawner);

}  // namespace muproc::broker
