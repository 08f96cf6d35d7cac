// Process groups: joining, looking, publishing.
#include <muproc/groups.hpp>

#include "runtime/arguments.hpp"
#include "runtime/runtime.hpp"
#include "wire/codec.hpp"

namespace muproc {
namespace detail {

// ---- what the broker is asked, and says --------------------------------------------------------------------------------

wire::Frame Runtime::ask_about_group(wire::GroupRequest::What what, std::string_view group, std::uint64_t ref) {
  check();
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<wire::ToBroker>().initGroup();
  request.setStamp(stamp(ticks()));
  put([&](unsigned size) { return request.initName(size); }, group);
  request.setRef(ref);
  request.setWhat(what);
  wire::Frame reply = ask(message);
  checked(reply);
  return reply;
}

void Runtime::join_group(std::string_view group) { ask_about_group(wire::GroupRequest::What::JOIN, group, 0); }
void Runtime::leave_group(std::string_view group) { ask_about_group(wire::GroupRequest::What::LEAVE, group, 0); }

std::pair<Ref, std::vector<Pid>> Runtime::monitor_group(std::string_view group) {
  const Ref ref{make_ref()};
  wire::Frame reply = ask_about_group(wire::GroupRequest::What::MONITOR, group, ref.bits);
  const auto news = reply.as<wire::FromBroker>();
  if (!news.isGroup() || !news.getGroup().isMembers()) throw Error("the broker gave no list of members");
  std::vector<Pid> pids;
  for (const std::uint64_t pid : news.getGroup().getMembers()) pids.emplace_back(pid);
  return {ref, std::move(pids)};
}

void Runtime::demonitor_group(Ref ref) {
  ask_about_group(wire::GroupRequest::What::DEMONITOR, {}, ref.bits);
  take_back_notices(ref);
}

void Runtime::hear_group(wire::GroupNews::Reader news) {
  if (!news.isChange()) return;
  const auto change = news.getChange();
  Notice notice;
  notice.kind = change.getJoined() ? Notice::Kind::joined : Notice::Kind::left;
  notice.pid = Pid(change.getPid());
  notice.name = wire::string(change.getGroup());
  notice.ref = change.getRef();
  notice.stamp = change.getStamp();
  notice.times = change.getTimes();
  inbox_.add_notice(std::move(notice));
}

// ---- members ---------------------------------------------------------------------------------------------------------

std::shared_ptr<const GroupMembers> Runtime::members_of(std::string_view group) {
  const shm::GroupTableView table = directory_->groups();
  const auto known = groups_.find(group);
  if (known != groups_.end() && table.is_current(*known->second)) return known->second;
  auto now = table.read(group);
  if (!now) {
    if (known != groups_.end()) groups_.erase(known);
    return std::make_shared<const GroupMembers>();
  }
  return groups_[std::string(group)] = std::make_shared<const GroupMembers>(*std::move(now));
}

// ---- publishing ------------------------------------------------------------------------------------------------------

Published Runtime::publish(std::string_view group, Outgoing& message, std::uint64_t type_id, SendWait wait) {
  check();
  ScratchLease& lease = *static_cast<ScratchLease*>(message.lease_);
  // Kept: what runs in here while we wait may look at the group, too.
  const std::shared_ptr<const GroupMembers> members = members_of(group);
  Published published;
  std::exception_ptr failure;  // to reach one member; the others get theirs

  /// True when it is done with: it has it, it is dead, or it cannot get it.
  const auto send_to = [&](Pid member) {
    try {
      OutChannel* channel = directory_->alive(member) ? outbox_.find(member) : nullptr;
      if (!channel && directory_->alive(member)) channel = open_channel(member);
      if (!channel) {
        drop(member, Message::Kind::message, type_id, {});
        return true;
      }
      shm::RecordHeader header = header_for(member, type_id, Message::Kind::message, 0);
      if (!try_send_once(*channel, lease, header, 0)) return false;
      ++published.sent;
    } catch (const Error&) {
      if (!failure) failure = std::current_exception();
    }
    return true;
  };

  bool to_myself = false;
  for (const shm::GroupMember& member : members->members) {
    const Pid pid(member.pid);
    if (pid == kit_.pid) {
      to_myself = true;
    } else if (!send_to(pid)) {
      published.full.push_back(pid);
    }
  }
  if (!wait.has_limit()) {
    for (const Pid slow : std::exchange(published.full, {})) {
      for (bool counted = false; !send_to(slow); wait_for_room(slow, wait, Time::max())) {
        if (std::exchange(counted, true)) continue;
        own_->status().sends_blocked.store(own_->status().sends_blocked.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      }
    }
  }
  if (to_myself) {
    send_to_self(lease, type_id, Message::Kind::message, 0);
    ++published.sent;
  }
  if (failure) std::rethrow_exception(failure);
  return published;
}

Published publish(Self& self, std::string_view group, Outgoing& message, std::uint64_t type_id, SendWait wait) {
  return Runtime::of(self).publish(group, message, type_id, wait);
}

Published publish_fields(Self& self, std::string_view group, std::span<const NamedArgument> fields, SendWait wait) {
  Outgoing message(self);
  write(message.builder().initRoot<wire::Mumsg>(), fields);
  return publish(self, group, message, capnp::typeId<wire::Mumsg>(), wait);
}

Published publish_mumsg(Self& self, std::string_view group, const Mumsg& mumsg, SendWait wait) {
  Outgoing message(self);
  wire::write(message.builder().initRoot<wire::Mumsg>(), mumsg);
  return publish(self, group, message, capnp::typeId<wire::Mumsg>(), wait);
}

}  // namespace detail

using detail::Runtime;

void join(Self& self, std::string_view group) { Runtime::of(self).join_group(group); }
void leave(Self& self, std::string_view group) { Runtime::of(self).leave_group(group); }

std::vector<Pid> members(Self& self, std::string_view group) {
  std::vector<Pid> pids;
  const auto found = Runtime::of(self).members_of(group);
  for (const auto& [pid, joins] : found->members)
    pids.insert(pids.end(), static_cast<std::size_t>(joins), Pid(pid));
  return pids;
}

std::vector<std::string> which_groups(Self& self) { return Runtime::of(self).directory().groups().names(); }

GroupMonitor monitor_group(Self& self, std::string_view group) {
  auto [ref, members] = Runtime::of(self).monitor_group(group);
  return {ref, std::move(members)};
}

void demonitor_group(Self& self, Ref ref) { Runtime::of(self).demonitor_group(ref); }

}  // namespace muproc
