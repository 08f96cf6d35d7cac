// How a process becomes a muproc, whoever made it: the first words over the control socket.
//
// Before `go` nobody knows of us: a death up to there is a failed start, and leaves nothing. After it we are found by
// name and may be sent to.
#pragma once

#include <memory>

#include "runtime/runtime.hpp"
#include "wire/frame.hpp"

namespace muproc::detail {

enum class Origin {
  cloned,    // from a zygote: sets env, cwd and limits itself
  execed,    // the seed's clone did that before the exec
  outsider,  // nobody's child
};

/// Takes the kit, maps, says hello, waits for `go`. Throws Error that says why not, with both versions when they differ.
std::unique_ptr<Runtime> be_born(wire::FrameSocket socket, Origin origin);

/// An outsider's way in: asks to be let in, and is born. An empty name is made up by the broker.
std::unique_ptr<Runtime> join(wire::FrameSocket socket, const std::string& name, std::chrono::nanoseconds timeout);

/// Runs the function and gives account to the broker; the reason of its end.
Reason live(Runtime& runtime, Function function);

/// A path's or program's library version, as the protocol has it.
const char* library_version();

}  // namespace muproc::detail
