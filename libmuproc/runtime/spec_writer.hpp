// What a spawn or a supervisor's start says to the broker, from the public values.
#pragma once

#include <muproc/self.hpp>

#include "wire/control.capnp.h"

namespace muproc::detail {

void write_child(wire::Child::Builder to, std::string_view name, const Code& code, const SpawnOptions& options);
/// A supervisor's child.
void write_child(wire::Child::Builder to, const Child& child);
void write_supervisor(wire::Supervisor::Builder to, std::string_view name, const Supervisor& supervisor);

}  // namespace muproc::detail
