#include "tools/mutop/model.hpp"

#include <utility>

namespace muproc::mutop {

using namespace std::chrono;

void Model::update(tools::Sample next) {
  std::unordered_map<std::uint32_t, Restarts> restarts;
  for (const tools::MuprocView& muproc : next.now->muprocs) {
    const auto known = restarts_.find(muproc.slot);
    Restarts& entry = restarts[muproc.slot];
    if (known != restarts_.end()) entry = known->second;
    // One that was restarted before we looked: its present life is what is left of that.
    if (known == restarts_.end() && muproc.restarts > 0 && muproc.up_for) entry.at = next.now->taken - *muproc.up_for;
    if (known != restarts_.end() && muproc.restarts > entry.count) entry.at = next.now->taken;
    entry.count = muproc.restarts;
  }
  restarts_ = std::move(restarts);
  history_.add(next);
  sample_ = std::move(next);
  std::erase_if(tagged, [this](Pid pid) { return !now().find(pid); });
}

nanoseconds Model::since_restart(const tools::MuprocView& muproc) const {
  const auto found = restarts_.find(muproc.slot);
  if (found == restarts_.end() || found->second.at == nanoseconds::min()) return nanoseconds::max();
  return now().taken - found->second.at;
}

Subject Model::subject(std::size_t index) const {
  const tools::MuprocView& muproc = now().muprocs[index];
  return {sample_, muproc, sample_.muprocs[index], since_restart(muproc)};
}

}  // namespace muproc::mutop
