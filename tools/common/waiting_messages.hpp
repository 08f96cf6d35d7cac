// The messages that wait in a mailbox's rings, copied out and decoded, without taking any.
//
// A message lives on until its receiver has taken it. So each is copied first, and then the receiver's position is looked at
// again: when it has not come that far, nobody has written over what was copied.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <muproc/pid.hpp>

#include "tools/common/message_decoder.hpp"
#include "tools/common/system_view.hpp"

namespace muproc::tools {

struct WaitingMessage {
  Pid from;
  std::chrono::nanoseconds age{0};
  std::string_view kind;  // "message", "call", "cast", "reply", "error"
  std::string text;       // printable: "cmd=:square x=3", "add(3)", or what it is when its fields are not to be known
};

/// Of all channels into it, the oldest first; so many of each channel at most.
std::vector<WaitingMessage> waiting_messages(const SystemView& view, const Snapshot& now, Pid receiver,
                                             std::size_t of_each, const MessageDecoder& decoder);

}  // namespace muproc::tools
