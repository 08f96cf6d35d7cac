#include "wire/settings.hpp"

#include <cstring>
#include <string>

namespace muproc::wire {
namespace {

cpu_set_t set_of(capnp::List<std::uint16_t>::Reader cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const auto cpu : cpus)
    if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  return set;
}

sys::ProcessSettings::Identity identity_of(Limits::Reader limits) {
  sys::ProcessSettings::Identity identity{limits.getUid(), limits.getGid(), {}};
  for (const auto group : limits.getGroups()) identity.groups.push_back(group);
  return identity;
}

sys::Confinement confinement_of(Confinement::Reader from) {
  sys::Confinement confinement;
  const auto filter = from.getFilter();
  confinement.filter.resize(filter.size() / sizeof(sock_filter));
  if (!confinement.filter.empty()) std::memcpy(confinement.filter.data(), filter.begin(), confinement.filter.size() * sizeof(sock_filter));
  confinement.holds_files = from.getHoldsFiles();
  for (const auto path : from.getWritable()) confinement.writable.emplace_back(path.cStr(), path.size());
  confinement.has_notify_socket = from.getHasNotifySocket();
  return confinement;
}

}  // namespace

sys::ProcessSettings settings_of(Limits::Reader limits, capnp::Text::Reader cwd) {
  sys::ProcessSettings settings;
  if (limits.getFiles()) settings.limit(RLIMIT_NOFILE, limits.getFiles());
  if (limits.getHasCore()) settings.limit(RLIMIT_CORE, limits.getCore());
  for (const auto resource : limits.getResources()) {
    // One second more until it is killed: the signal that asks leaves a stack to look at.
    const std::uint64_t more = resource.getResource() == RLIMIT_CPU && resource.getValue() != RLIM_INFINITY ? 1 : 0;
    settings.limit(resource.getResource(), rlimit{resource.getValue(), resource.getValue() + more});
  }
  if (limits.getCpus().size() > 0) settings.cpus = set_of(limits.getCpus());
  if (limits.getHasNice()) settings.nice = limits.getNice();
  if (limits.getHasOomScoreAdj()) settings.oom_score_adj = std::to_string(limits.getOomScoreAdj());
  if (limits.getHasUmask()) settings.umask = limits.getUmask();
  if (limits.getHasIdentity()) settings.identity = identity_of(limits);
  if (limits.getMemory()) settings.limit(RLIMIT_DATA, limits.getMemory());
  settings.cwd = std::string(cwd.cStr(), cwd.size());
  if (limits.hasConfinement()) settings.confinement = confinement_of(limits.getConfinement());
  return settings;
}

}  // namespace muproc::wire
