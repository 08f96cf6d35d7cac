// Process groups, and publishing to them.
//
//     join(self, "quotes");                                    // a subscriber
//     self.receive(on<"price", "symbol">() >> [&](double price, Symbol symbol) { … });
//
//     publish(self, "quotes", "symbol", "VOD.L", "price", 101.5);            // a publisher: to every member
//     publish<Quote>(self, "quotes", [&](Quote::Builder quote) { quote.setPrice(101.5); });
//
// A group is there when somebody has joined it, and gone when nobody is in it. A muproc may be in many groups, and in one
// several times: then it has to leave it as often. Who dies has left all its groups by the time that anybody hears of the
// death.
//
// - Members are looked up in shared memory; the broker is asked for joins, leaves and monitors only. Who was told of a
//   join, by a message for instance, finds the new member there.
// - A message is built once, and each member gets one copy of it in its channel, however often it has joined. One that
//   is too large for the channels lies in the publisher's memory, once for all members, is read there, and is given back
//   when the last member has read it or died. The publisher, if it is a member, gets its own copy.
// - A publisher that dies in the middle leaves each member with the whole message or with nothing of it.
// - A member's messages from one publisher come in the order in which they were sent, published and plain ones alike.
//
// Erlang: pg (one scope, and one joins for oneself only).
#pragma once

#include <muproc/self.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace muproc {

/// Joins a group, once more if it is a member already. When it returns, everybody can find the member. The name has 1 to
/// 63 bytes; throws Error when it has not, or when the directory is full. Erlang: pg:join/2.
void join(Self& self, std::string_view group);
/// Takes one join back. Throws NoSuchName when it is no member. Erlang: pg:leave/2.
void leave(Self& self, std::string_view group);

/// The members, each as often as it has joined, in the order in which they came; none when there is no such group. Erlang:
/// pg:get_members/1, and get_local_members/1.
std::vector<Pid> members(Self& self, std::string_view group);
/// The names of all groups that have members, sorted. Erlang: pg:which_groups/0.
std::vector<std::string> which_groups(Self& self);

struct GroupMonitor {
  Ref ref;
  std::vector<Pid> members;  ///< when it began; every change since then brings a message
};
/// From now on each change is a message `group: name, joined: pid, times, ref` or `group: name, left: pid, times, ref`, from
/// nil; `times` is 1, or of one that died all its joins. It comes after what that member had sent before. There need be no
/// such group yet. Monitors stack. Erlang: pg:monitor/1.
GroupMonitor monitor_group(Self& self, std::string_view group);
/// After it returns no message of that monitor arrives, and none that has arrived is left unread. An unknown reference is
/// no error. Erlang: pg:demonitor/1.
void demonitor_group(Self& self, Ref ref);

/// What `try_publish` has done.
struct Published {
  std::size_t sent = 0;   ///< members that have it
  std::vector<Pid> full;  ///< members that had no room for it and do not get it
};

namespace detail {
/// Who had no room in `full`, but when it may wait.
Published publish(Self& self, std::string_view group, Outgoing& message, std::uint64_t type_id, SendWait wait);
Published publish_fields(Self& self, std::string_view group, std::span<const NamedArgument> fields, SendWait wait);
Published publish_mumsg(Self& self, std::string_view group, const Mumsg& mumsg, SendWait wait);

template <class... Rest>
Published publish_named(Self& self, std::string_view group, SendWait wait, std::string_view name, const Rest&... rest) {
  static_assert(sizeof...(Rest) % 2 == 1, "publish takes names and values in turn");
  std::array<NamedArgument, (sizeof...(Rest) + 1) / 2> fields;
  fill_arguments(fields, 0, name, rest...);
  return publish_fields(self, group, fields, wait);
}
template <class T, class Build>
Published publish_typed(Self& self, std::string_view group, SendWait wait, Build& build) {
  Outgoing message(self);
  build(message.builder().template initRoot<T>());
  return publish(self, group, message, capnp::typeId<T>(), wait);
}
}  // namespace detail

/// Sends to every member, and returns to how many: `publish(self, "quotes", "symbol", "VOD.L", "price", 101.5)`. A member
/// whose channel is full is waited for, as `send` does, after all others have got it; one that dies meanwhile is passed
/// over. Who joins during the call may or may not get it. When it throws – an exit signal, a time limit, StashFull,
/// MessageTooLarge – some members may have it. A member to whom nothing can be sent (no room for another channel) keeps
/// it from no other; the Error is thrown at the end. Erlang: [Pid ! Message || Pid <- pg:get_members(Group)].
template <class... Rest>
std::size_t publish(Self& self, std::string_view group, std::string_view name, const Rest&... rest) {
  return detail::publish_named(self, group, {}, name, rest...).sent;
}
inline std::size_t publish(Self& self, std::string_view group, const Mumsg& mumsg) {
  return detail::publish_mumsg(self, group, mumsg, {}).sent;
}
/// A Cap'n Proto struct that `build(T::Builder)` fills in place, once.
template <class T, class Build>
  requires(capnp::kind<T>() == capnp::Kind::STRUCT)
std::size_t publish(Self& self, std::string_view group, Build&& build) {
  return detail::publish_typed<T>(self, group, {}, build).sent;
}

/// As `publish`, but waits for nobody: members without room do not get it, and are named.
template <class... Rest>
[[nodiscard]] Published try_publish(Self& self, std::string_view group, std::string_view name, const Rest&... rest) {
  return detail::publish_named(self, group, detail::SendWait::never(), name, rest...);
}
[[nodiscard]] inline Published try_publish(Self& self, std::string_view group, const Mumsg& mumsg) {
  return detail::publish_mumsg(self, group, mumsg, detail::SendWait::never());
}
template <class T, class Build>
  requires(capnp::kind<T>() == capnp::Kind::STRUCT)
[[nodiscard]] Published try_publish(Self& self, std::string_view group, Build&& build) {
  return detail::publish_typed<T>(self, group, detail::SendWait::never(), build);
}

}  // namespace muproc
