// The front desk: control connections and what is asked over them.
//
// Children's sockets come from the launcher; outsiders and tools connect to control.sock, where only our own user and
// root get in. A request is answered once, on the connection that it came from, unless its id is 0 or the connection has
// gone meanwhile. What a request means is done by the rooms behind the desk; the desk checks who asks, and what.
//
// A dead muproc's last requests come here too, while its death is being handled (`is_dead`): what concerns others is
// carried out, what would give it something is not.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/core.hpp"
#include "broker/endings.hpp"
#include "broker/launcher.hpp"
#include "broker/reaper.hpp"
#include "broker/reload_result.hpp"

namespace muproc::broker {

class Control {
 public:
  using ErrorKind = wire::Error::Kind;
  struct Failure {
    ErrorKind kind;
    std::string text;
    Reason reason = {};
    Pid pid = {};  // of ALREADY_STARTED
  };

  Control(Core& core, Endings& endings, Launcher& launcher, Reaper& reaper, Estates& estates);
  ~Control();

  /// Serves those who connect here.
  void listen(sys::UniqueFd socket);
  /// Nobody new gets in.
  void stop_listening();
  /// At the end: some who follow the events have been told some, and not asked for the rest yet. `then` is called when they
  /// have, or have gone.
  bool owes_events() const;
  void when_no_events_are_owed(std::function<void()> then) { no_events_owed_ = std::move(then); }
  /// Outsiders who have knocked while the system was starting are let in: whoever joins finds everybody there.
  void let_in();

  Connection& open(sys::UniqueFd socket);
  /// It is destroyed when no callback is running.
  void close(Connection& connection);

  // What only the whole system can do. `done` is called once, with a pid (which may be nil) or a failure.
  using Done = std::function<void(Pid, const Failure*)>;
  std::function<void(wire::Supervisor::Reader, Pid asker, Done)> start_supervisor;
  std::function<void(wire::ChildVerb::Reader, Done)> child_verb;
  std::function<void(wire::StartChild::Reader, Pid asker, Done)> start_child;
  std::function<void(wire::Drain::Reader, Done)> drain;
  std::function<void(Muproc&)> drained;
  std::function<void(wire::Target::Reader supervisor, wire::Children::Builder)> describe_children;
  std::function<void(const std::string& who)> shut_down;
  using WhenReloaded = std::function<void(const std::vector<ReloadResult>&, const std::string& warnings)>;
  /// Throws a Failure when there is nothing that could be done.
  std::function<void(wire::Reload::Reader, const WhenReloaded&)> reload;
  /// Throws a Failure when that spawner cannot have this plan's code loaded.
  void check_code(const Plan& plan, const Plan* spawner) const;
  /// Whether a zygote has loaded that code already.
  std::function<bool(const PlannedCode&)> is_loaded = [](const PlannedCode&) { return false; };
  /// The supervisor-like facts about a node, for the tools.
  std::function<void(SlotIndex, wire::Node::Builder)> describe_supervision = [](SlotIndex, wire::Node::Builder) {};
  /// How many spares wait for the end of who is in that slot.
  std::function<std::size_t(SlotIndex)> spares_of = [](SlotIndex) { return std::size_t{0}; };
  /// All supervised slots: a supervisor before its children, those in start order.
  std::function<std::vector<SlotIndex>()> supervised = [] { return std::vector<SlotIndex>(); };

 private:
  using Request = wire::ToBroker::Reader;
  using Id = std::uint64_t;

  void accept();
  void welcome(sys::UniqueFd socket);
  const Muproc* muproc_of_process(int os_pid);
  void heard(Connection& connection, wire::Frame& frame);
  void dispatch(Connection& connection, Request request);
  void peer_closed(Connection& connection);
  void peer_is_mad(Connection& connection, const std::string& what);

  // Answers; without an id, or a connection, none.
  void reply(ConnectionId to, Message& message, std::initializer_list<int> fds = {});
  void ok(Connection& to, Id id);
  void reply_failure(ConnectionId to, Id id, const Failure& failure);
  Done answer(Connection& to, Id id);

  // Lives: control_lives.cpp.
  void attach(Connection& connection, Id id, wire::Attach::Reader request);
  void admit(Connection& connection, Id id, std::string name);
  void new_sender(Connection& connection, Id id);
  void refuse(Connection& connection, Id id, const std::string& why);
  void spawn(Connection& connection, Id id, wire::Spawn::Reader request);
  void exit(Connection& connection, Id id, wire::Exit::Reader request);
  void kill(Connection& connection, Id id, Pid target);
  void link(Connection& connection, Id id, wire::Link::Reader request);
  void monitor(Connection& connection, Id id, wire::Monitor::Reader request);
  void register_port(Connection& connection, Id id, const std::string& port);
  void unregister_port(Connection& connection, Id id, const std::string& port);

  void reload_config(Connection& connection, Id id, wire::Reload::Reader request);

  // Memory: control_memory.cpp.
  void open_channel(Connection& connection, Id id, wire::OpenChannel::Reader request);
  void channel_drained(Connection& connection, std::uint32_t cursor);
  void corrupt_record(Connection& connection, wire::CorruptRecord::Reader request);
  void new_extent(Connection& connection, Id id, std::uint64_t size);
  void seal_extent(Connection& connection, Id id, std::uint32_t extent);
  void drop_extent(Connection& connection, std::uint32_t extent);
  void get_extent(Connection& connection, Id id, wire::GetExtent::Reader request);

  // Process groups: control_groups.cpp.
  void group(Connection& connection, Id id, wire::GroupRequest::Reader request);

  // What the tools see: control_describe.cpp.
  void describe(Connection& connection, Id id, const std::string& name);
  void which_children(Connection& connection, Id id, wire::Target::Reader supervisor);
  void describe_slot(SlotIndex slot, wire::Node::Builder node);
  void dead_letters(Connection& connection, Id id, std::uint32_t last);
  void events(Connection& connection, Id id, wire::EventsAfter::Reader request);
  void send_events(ConnectionId to, Id id, std::uint64_t after);
  void see_whether_events_are_owed();

  /// The muproc that asks. Throws Failure when there is none (a tool), or it is not up.
  Muproc& asker(Connection& connection);
  void refuse_when_stopping() const;
  static void refuse_without_control(const Muproc* asker);
  std::string who(const Connection& connection) const;

  Core& core_;
  Endings& endings_;
  Launcher& launcher_;
  Reaper& reaper_;
  Estates& estates_;
  sys::UniqueFd listening_;
  Watch accepting_, accepting_later_;
  struct Knock {
    ConnectionId connection;
    Id id;
    std::string name;
  };
  std::vector<Knock> waiting_outside_;
  ConnectionId last_id_ = 0;
  std::unordered_map<ConnectionId, std::uint64_t> told_;  // of who follows: the latest event when it was last answered
  std::function<void()> no_events_owed_;
  std::unordered_map<ConnectionId, std::unique_ptr<Connection>> connections_;
};

}  // namespace muproc::broker
