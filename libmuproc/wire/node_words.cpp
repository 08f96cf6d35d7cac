#include "wire/node_words.hpp"

#include "shm/state_words.hpp"

namespace muproc::wire {

using shm::SlotKind;

std::string_view kind_word(Node::Reader node) { return shm::kind_word(static_cast<SlotKind>(node.getKind())); }
std::string_view state_word(Node::Reader node) { return shm::state_word(static_cast<shm::SlotState>(node.getState())); }
std::string_view activity_word(Status::Reader status) {
  return shm::activity_word(static_cast<shm::Activity>(status.getActivity()));
}

bool has_mailbox(Node::Reader node) {
  const auto kind = static_cast<SlotKind>(node.getKind());
  return kind == SlotKind::muproc || kind == SlotKind::outsider;
}

bool is_supervisor(Node::Reader node) { return static_cast<SlotKind>(node.getKind()) == SlotKind::supervisor; }

}  // namespace muproc::wire
