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

std::string_view broker_word(BrokerState state) {
  switch (state) {
    case BrokerState::running: return "running";
    case BrokerState::stopped: return "stopped";
    case BrokerState::gone: return "gone";
  }
  return "?";
}

}  // namespace muproc::tools
