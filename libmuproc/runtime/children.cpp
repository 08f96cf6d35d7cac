// What a muproc asks of supervisors about their children: the functions of supervisor.hpp.
#include <muproc/detail/names.hpp>
#include <muproc/supervisor.hpp>

#include <algorithm>

#include "runtime/runtime.hpp"
#include "runtime/spec_writer.hpp"
#include "wire/codec.hpp"

namespace muproc {
namespace {

using detail::Runtime;
using Verb = wire::ChildVerb::Verb;

void write_target(wire::Target::Builder to, Address who) {
  if (who.is_name()) {
    to.setName(std::string(who.name()).c_str());
  } else {
    to.setPid(who.pid().bits());
  }
}

/// The child's pid, or nil when the answer is a mere "done".
Pid asked(Self& self, capnp::MessageBuilder& message) {
  Runtime& runtime = Runtime::of(self);
  runtime.check();
  wire::Frame reply = runtime.ask(message);
  const auto contents = detail::checked(reply);
  return contents.isPid() ? Pid(contents.getPid()) : Pid();
}

Pid ask_about(Self& self, Address supervisor, Address child, Verb verb) {
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<wire::ToBroker>().initChildVerb();
  request.setVerb(verb);
  write_target(request.initSupervisor(), supervisor);
  if (child.is_name()) {
    request.setName(std::string(child.name()).c_str());
  } else {
    request.setPid(child.pid().bits());
  }
  return asked(self, message);
}

/// The enums have the same enumerators in the same order, but what comes in may be anything.
ChildInfo info_of(wire::ChildInfo::Reader from) {
  ChildInfo info;
  info.name = wire::string(from.getName());
  info.pid = Pid(from.getPid());
  info.is_supervisor = from.getIsSupervisor();
  info.state = static_cast<ChildInfo::State>(std::min<std::uint16_t>(
      static_cast<std::uint16_t>(from.getState()), static_cast<std::uint16_t>(ChildInfo::State::restarting)));
  info.restart = static_cast<Restart>(std::min<std::uint8_t>(from.getRestart(), static_cast<std::uint8_t>(temporary)));
  return info;
}

wire::Frame ask_for_children(Self& self, Address supervisor) {
  capnp::MallocMessageBuilder message;
  write_target(message.initRoot<wire::ToBroker>().initWhichChildren(), supervisor);
  Runtime& runtime = Runtime::of(self);
  runtime.check();
  return runtime.ask(message);
}

}  // namespace

Pid start_child(Self& self, Address supervisor, const Child& child) {
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<wire::ToBroker>().initStartChild();
  write_target(request.initSupervisor(), supervisor);
  detail::write_child(request.initChild(), child);
  return asked(self, message);
}

Pid start_instance(Self& self, Address supervisor, const Mumsg& args, std::string_view name) {
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<wire::ToBroker>().initStartChild();
  write_target(request.initSupervisor(), supervisor);
  auto instance = request.initInstance();
  instance.setName(std::string(name).c_str());
  wire::write(instance.initArgs(), args);
  return asked(self, message);
}

void terminate_child(Self& self, Address supervisor, Address child) { ask_about(self, supervisor, child, Verb::STOP); }

Pid restart_child(Self& self, Address supervisor, Address child) {
  return ask_about(self, supervisor, child, Verb::START);
}

void delete_child(Self& self, Address supervisor, Address child) { ask_about(self, supervisor, child, Verb::DELETE); }

std::vector<ChildInfo> which_children(Self& self, Address supervisor) {
  wire::Frame reply = ask_for_children(self, supervisor);
  std::vector<ChildInfo> infos;
  for (const auto child : detail::checked(reply).getChildren().getChildren()) infos.push_back(info_of(child));
  return infos;
}

ChildCounts count_children(Self& self, Address supervisor) {
  wire::Frame reply = ask_for_children(self, supervisor);
  const auto answer = detail::checked(reply).getChildren();
  ChildCounts counts;
  for (const auto child : answer.getChildren()) {
    const ChildInfo info = info_of(child);
    counts.active += info.pid ? 1 : 0;
    ++(info.is_supervisor ? counts.supervisors : counts.workers);
  }
  counts.specs = answer.getIsTemplate() ? 1 : counts.supervisors + counts.workers;
  return counts;
}

void ignore(Self& self) { self.exit(Value(Symbol{std::string(detail::k_ignore)})); }

}  // namespace muproc
