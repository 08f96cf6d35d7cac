#include "tools/common/snapshot.hpp"

#include <algorithm>

namespace muproc::tools {

const MuprocView* Snapshot::at_slot(std::uint32_t slot) const {
  const auto found =
      std::lower_bound(muprocs.begin(), muprocs.end(), slot,
                       [](const MuprocView& muproc, std::uint32_t wanted) { return muproc.slot < wanted; });
  return found == muprocs.end() || found->slot != slot ? nullptr : &*found;
}

const MuprocView* Snapshot::find(Pid pid) const {
  const MuprocView* found = pid ? at_slot(pid.slot()) : nullptr;
  return found && found->pid == pid ? found : nullptr;
}

const MuprocView* Snapshot::find(std::string_view name) const {
  const auto found =
      std::find_if(muprocs.begin(), muprocs.end(), [&](const MuprocView& muproc) { return muproc.name == name; });
  return found == muprocs.end() ? nullptr : &*found;
}

std::string Snapshot::name_of(Pid pid) const {
  const MuprocView* found = find(pid);
  return found ? found->name : to_string(pid);
}

std::string_view state_word(shm::SlotState state) {
  switch (state) {
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

std::string_view kind_word(shm::SlotKind kind) {
  switch (kind) {
    case shm::SlotKind::muproc: return "muproc";
    case shm::SlotKind::plain: return "plain";
    case shm::SlotKind::supervisor: return "supervisor";
    case shm::SlotKind::outsider: return "outsider";
  }
  return "?";
}

std::string_view activity_word(shm::Activity activity) {
  switch (activity) {
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

std::string_view broker_word(BrokerState state) {
  switch (state) {
    case BrokerState::running: return "running";
    case BrokerState::stopped: return "stopped";
    case BrokerState::gone: return "gone";
  }
  return "?";
}

}  // namespace muproc::tools
