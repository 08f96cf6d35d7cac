// The numbers in a Node, as words (shm/state_words.hpp).
#pragma once

#include <cstdint>
#include <string_view>

#include "wire/control.capnp.h"

namespace muproc::wire {

std::string_view kind_word(Node::Reader node);
std::string_view state_word(Node::Reader node);
std::string_view activity_word(Status::Reader status);

/// It has a mailbox while it runs: a message can be sent to it.
bool has_mailbox(Node::Reader node);
bool is_supervisor(Node::Reader node);

}  // namespace muproc::wire
