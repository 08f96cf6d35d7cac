// Waiting for conditions: `wait_until`, `k_patience` and the like, which are the kit's.
#pragma once

#include <muproc/testing.hpp>
