// What a process says of itself when it joins: which muproc it was built with, and which layout of the shared memory.
#pragma once

#include <cstdint>

#include "shm/layout.hpp"

namespace muproc::wire {

inline constexpr const char* k_library_version = "0.1.0";
inline constexpr std::uint32_t k_layout_version = shm::k_layout_version;

}  // namespace muproc::wire
