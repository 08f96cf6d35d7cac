// As whom a process runs.
#pragma once

#include <string>

namespace muproc::tools {

/// The user's name, or the number when there is none; empty when there is no such process.
std::string user_of_process(int os_pid);

}  // namespace muproc::tools
