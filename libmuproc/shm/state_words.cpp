#include "shm/state_words.hpp"

namespace muproc::shm {

std::string_view kind_word(SlotKind kind) {
  switch (kind) {
    case SlotKind::muproc: return "muproc";
    case SlotKind::plain: return "plain";
    case SlotKind::supervisor: return "supervisor";
    case SlotKind::outsider: return "outsider";
  }
  return "?";
}

std::string_view state_word(SlotState state) {
  switch (state) {
    case SlotState::free: return "free";
    case SlotState::starting: return "starting";
    case SlotState::running: return "running";
    case SlotState::stopping: return "stopping";
    case SlotState::backing_off: return "backing_off";
    case SlotState::stopped: return "stopped";
    case SlotState::failed: return "failed";
    case SlotState::draining: return "draining";
  }
  return "?";
}

std::string_view activity_word(Activity activity) {
  switch (activity) {
    case Activity::starting: return "starting";
    case Activity::running: return "running";
    case Activity::receiving: return "receiving";
    case Activity::sending: return "sending";
    case Activity::exiting: return "exiting";
    case Activity::sleeping: return "sleeping";
    case Activity::asking: return "asking";
  }
  return "?";
}

}  // namespace muproc::shm
