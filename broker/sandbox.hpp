// A sandbox before anybody is in it: which system calls its filter permits, compiled to what the kernel takes.
//
// A strict filter permits what the runtime, the C and C++ libraries and threads need, as the table in the source has it,
// and what the sandbox adds by name. All else is SIGSYS, by which the process dies; its crash report names the call. Three
// things are refused by an error instead, since libraries try them and have another way: sockets that are no Unix sockets
// (EACCES), clone3 (ENOSYS, then clone is called), and what this machine's kernel knows under another name only.
//
// Programs begin with an exec, so the filter under which they begin permits execve; those that are muprocs put on the one
// without it when they have attached. Compiling takes a millisecond, and a plan keeps what was compiled.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <muproc/supervision.hpp>

namespace muproc::broker {

/// struct sock_filter, one after the other; empty: there is no sandbox.
struct Filters {
  std::string of_muproc;    // for who is about to run a muproc's function
  std::string before_exec;  // for who is about to exec
};

/// Throws std::invalid_argument that names a system call which there is not, and std::runtime_error when there can be no
/// filter on this machine.
Filters compile_filters(const Sandbox& sandbox);

/// Whether this machine's kernel has a system call of that name, as far as libseccomp knows.
bool is_system_call(const std::string& name);
/// All that is one.
const std::vector<std::string>& system_call_names();
/// "socket", or "system call 41" when it has no name.
std::string system_call_name(int number);

/// With its writable paths as the file system has them, without symbolic links. Throws std::invalid_argument when one is
/// relative.
Sandbox settled(Sandbox sandbox);

/// What a spawner's sandbox leaves of the one that is asked for.
Sandbox narrowed(Sandbox wish, const Sandbox& spawners);

/// "strict, network, writes below /var/lib/x, also ptrace"; empty when there is none.
std::string to_string(const Sandbox& sandbox);

}  // namespace muproc::broker
