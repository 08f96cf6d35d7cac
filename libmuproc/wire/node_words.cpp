#include "wire/node_words.hpp"

#include "shm/layout.hpp"

namespace muproc::wire {

using shm::SlotKind;

std::string_view kind_word(Node::Reader node) {
  switch (static_cast<SlotKind>(node.getKind())) {
    case SlotKind::muproc: return "muproc";
    case SlotKind::plain: return "plain";
    case SlotKind::supervisor: return "supervisor";
    case SlotKind::outsider: return "outsider";
  }
  return "?";
}

std::string_view state_word(Node::Reader node) {
  switch (static_cast<shm::SlotState>(node.getState())) {
    case shm::SlotState::free: return "free";
    case shm::SlotState::starting: return "starting";
    case shm::SlotState::running: return "running";
    case shm::SlotState::stopping: return "stopping";
    case shm::SlotState::backing_off: return "backing_off";
    case shm::SlotState::stopped: return "stopped";
    case shm::SlotState::failed: return "failed";
    case shm::SlotState::draining: return "draining";
  }
  return "?";
}

std::string_view activity_word(Status::Reader status) {
  switch (static_cast<shm::Activity>(status.getActivity())) {
    case shm::Activity::starting: return "starting";
    case shm::Activity::running: return "running";
    case shm::Activity::receiving: return "receiving";
    case shm::Activity::sending: return "sending";
    case shm::Activity::exiting: return "exiting";
    case shm::Activity::sleeping: return "sleeping";
    case shm::Activity::asking: return "asking";
  }
  return "?";
}

bool has_mailbox(Node::Reader node) {
  const auto kind = static_cast<SlotKind>(node.getKind());
  return kind == SlotKind::muproc || kind == SlotKind::outsider;
}

bool is_supervisor(Node::Reader node) { return static_cast<SlotKind>(node.getKind()) == SlotKind::supervisor; }

}  // namespace muproc::wire
