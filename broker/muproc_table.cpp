#include "broker/muproc_table.hpp"

#include <fmt/format.h>

#include "broker/launcher.hpp"
#include "broker/notify_socket.hpp"
#include "broker/watchdogs.hpp"

namespace muproc::broker {
namespace {

// A slot rests before it is used again, so that its 24 bits of incarnations last long.
constexpr std::size_t k_resting_slots = 16;

std::string why_no_name(std::string_view what, std::string_view name) {
  if (name.empty()) return fmt::format("a {} needs a name", what);
  if (name.size() >= shm::k_name_size)
    return fmt::format("a {}'s name has at most {} bytes: \"{}\"", what, shm::k_name_size - 1, name);
  if (name.find('\0') != name.npos) return fmt::format("a {}'s name has no NUL in it", what);
  return {};
}

}  // namespace

Muproc::Muproc() = default;
Muproc::~Muproc() = default;

MuprocTable::MuprocTable() = default;
MuprocTable::~MuprocTable() = default;

std::string MuprocTable::why_not_name(std::string_view name) const {
  if (auto why = why_no_name("muproc", name); !why.empty()) return why;
  if (names_.contains(name)) return fmt::format("the name \"{}\" is taken", name);
  if (const Pid owner = port_owner(name))
    return fmt::format("the name \"{}\" is taken: it is a port of {}", name, record(owner.slot()).name);
  return {};
}

std::string MuprocTable::why_not_port(std::string_view port, Pid owner) const {
  if (auto why = why_no_name("port", port); !why.empty()) return why;
  if (const Pid other = port_owner(port))
    return fmt::format("the port \"{}\" is taken by {}", port, record(other.slot()).name);
  if (const auto slot = slot_named(port); slot && slot != owner.slot())
    return fmt::format("the port \"{}\" is taken: it is a muproc's name", port);
  return {};
}

std::optional<SlotIndex> MuprocTable::reserve(std::string name, shm::SlotKind kind, Pid parent, PlanPtr plan) {
  SlotIndex slot;
  if (free_.size() < k_resting_slots && records_.size() < shm::k_max_slots) {
    slot = static_cast<SlotIndex>(records_.size());
    records_.push_back(std::make_unique<SlotRecord>());
  } else if (!free_.empty()) {
    slot = free_.front();
    free_.pop_front();
  } else {
    return std::nullopt;
  }
  SlotRecord& taken = *records_[slot];
  taken.kind = kind;
  taken.state = shm::SlotState::stopped;
  taken.is_kept = false;
  taken.parent = parent;
  taken.plan = std::move(plan);
  taken.restarts = 0;
  taken.crashes = 0;
  taken.started_ns = 0;
  taken.last_exit.clear();
  names_.emplace(name, slot);
  taken.name = std::move(name);
  return slot;
}

void MuprocTable::release(SlotIndex slot) {
  SlotRecord& freed = *records_[slot];
  names_.erase(freed.name);
  freed.name.clear();
  freed.state = shm::SlotState::free;
  freed.plan = nullptr;
  free_.push_back(slot);
}

Muproc& MuprocTable::begin(SlotIndex slot) {
  SlotRecord& home = *records_[slot];
  home.incarnation = (home.incarnation + 1) & 0xffffff;
  if (home.incarnation == 0) home.incarnation = 1;
  home.life = std::make_unique<Muproc>();
  Muproc& born = *home.life;
  born.pid = Pid(0, slot, home.incarnation);
  born.name = home.name;
  born.kind = home.kind;
  born.parent = home.parent;
  born.plan = home.plan;
  born.traps_exits = home.plan && home.plan->trap_exits;
  return born;
}

std::unique_ptr<Muproc> MuprocTable::end(SlotIndex slot) {
  SlotRecord& home = *records_[slot];
  std::erase_if(ports_, [&](const auto& port) { return port.second == home.life->pid; });
  return std::move(home.life);
}

Muproc* MuprocTable::find(Pid pid) {
  if (!pid || pid.node() != 0 || pid.slot() >= records_.size()) return nullptr;
  Muproc* life = records_[pid.slot()]->life.get();
  return life && life->pid == pid ? life : nullptr;
}

Muproc* MuprocTable::find(std::string_view name) {
  if (const Pid owner = port_owner(name)) return find(owner);
  const auto slot = slot_named(name);
  return slot ? records_[*slot]->life.get() : nullptr;
}

std::optional<SlotIndex> MuprocTable::slot_named(std::string_view name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? std::nullopt : std::optional(found->second);
}

Pid MuprocTable::port_owner(std::string_view port) const {
  const auto found = ports_.find(port);
  return found == ports_.end() ? Pid() : found->second;
}

std::vector<std::string> MuprocTable::ports_of(Pid owner) const {
  std::vector<std::string> ports;
  for (const auto& [port, who] : ports_)
    if (who == owner) ports.push_back(port);
  return ports;
}

std::vector<SlotIndex> MuprocTable::slots() const {
  std::vector<SlotIndex> taken;
  for (SlotIndex slot = 0; slot < records_.size(); ++slot)
    if (!records_[slot]->name.empty()) taken.push_back(slot);
  return taken;
}

std::vector<Muproc*> MuprocTable::living() {
  std::vector<Muproc*> all;
  for (const auto& home : records_)
    if (home->life) all.push_back(home->life.get());
  return all;
}

}  // namespace muproc::broker
