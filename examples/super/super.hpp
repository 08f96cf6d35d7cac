// The child of the talk's supervisor examples.
#pragma once

#include <muproc/self.hpp>

/// Says its `symbol` every `period` (as the config writes durations: "3s", "250ms") until it is stopped.
void super_child(muproc::Self& self);
