// The numbers in a Node, as words: for tables, and for `--json`, where they are part of the format.
#pragma once

#include <cstdint>
#include <string_view>

#include "wire/control.capnp.h"

namespace muproc::wire {

/// "muproc", "plain", "supervisor", "outsider"; "?" for a number that this version does not know.
std::string_view kind_word(Node::Reader node);
/// "starting", "running", "stopping", "draining", "backing_off", "stopped", "failed"; "?".
std::string_view state_word(Node::Reader node);
/// What a muproc is doing: "starting", "running", "receiving", "sending", "exiting"; "?".
std::string_view activity_word(Status::Reader status);

/// It has a mailbox while it runs: a message can be sent to it.
bool has_mailbox(Node::Reader node);
bool is_supervisor(Node::Reader node);

}  // namespace muproc::wire
