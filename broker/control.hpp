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

namespace muproc::broker {

class Control {
 public:
  using ErrorKind = wire::Error::Kind;
  struct Failure {
    ErrorKind kind;
    std::string text;
    Reason reason = {};
  };

  Control(Core& core, Endings& endings, Launcher& launcher, Reaper& reaper);
  ~Control();

  /// Serves those who connect here.
  void listen(sys::UniqueFd socket);
  /// Nobody new gets in.
  void stop_listening();
  /// Outsiders who have knocked while the system was starting are let in: whoever joins finds everybody there.
  void let_in();

  Connection& open(sys::UniqueFd socket);
  /// It is destroyed when no callback is running.
  void close(Connection& connection);

  // What only the whole system can do. `done` is called once, with a pid (which may be nil) or a failure.
  using Done = std::function<void(Pid, const Failure*)>;
  std::function<void(wire::Supervisor::Reader, Pid asker, Done)> start_supervisor;
  std::function<void(const std::string& name, wire::ChildVerb::Verb, Done)> child_verb;
  std::function<void(const std::string& who)> shut_down;
  /// The supervisor-like facts about a node, for the tools.
  std::function<void(SlotIndex, wire::Node::Builder)> describe_supervision = [](SlotIndex, wire::Node::Builder) {};

 private:
  using Request = wire::ToBroker::Reader;
  using Id = std::uint64_t;

  void accept();
  void welcome(sys::UniqueFd socket);
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
  void refuse(Connection& connection, Id id, const std::string& why);
  void spawn(Connection& connection, Id id, wire::Spawn::Reader request);
  void exit(Connection& connection, Id id, wire::Exit::Reader request);
  void kill(Connection& connection, Id id, Pid target);
  void link(Connection& connection, Id id, wire::Link::Reader request);
  void monitor(Connection& connection, Id id, wire::Monitor::Reader request);
  void register_port(Connection& connection, Id id, const std::string& port);
  void unregister_port(Connection& connection, Id id, const std::string& port);

  // Memory: control_memory.cpp.
  void open_channel(Connection& connection, Id id, wire::OpenChannel::Reader request);
  void channel_drained(Connection& connection, std::uint32_t cursor);
  void corrupt_record(Connection& connection, wire::CorruptRecord::Reader request);
  void new_extent(Connection& connection, Id id, std::uint64_t size);
  void seal_extent(Connection& connection, Id id, std::uint32_t extent);
  void drop_extent(Connection& connection, std::uint32_t extent);
  void get_extent(Connection& connection, Id id, wire::GetExtent::Reader request);

  // What the tools see: control_describe.cpp.
  void describe(Connection& connection, Id id, const std::string& name);
  void describe_slot(SlotIndex slot, wire::Node::Builder node);

  /// The muproc that asks. Throws Failure when there is none (a tool), or it is not up.
  Muproc& asker(Connection& connection);
  void refuse_when_stopping() const;
  std::string who(const Connection& connection) const;

  Core& core_;
  Endings& endings_;
  Launcher& launcher_;
  Reaper& reaper_;
  sys::UniqueFd listening_;
  Watch accepting_, accepting_later_;
  struct Knock {
    ConnectionId connection;
    Id id;
    std::string name;
  };
  std::vector<Knock> waiting_outside_;
  ConnectionId last_id_ = 0;
  std::unordered_map<ConnectionId, std::unique_ptr<Connection>> connections_;
};

}  // namespace muproc::broker
