// Requests about process groups. A join is in the directory before it is answered: whoever hears of it, in whatever way,
// finds the new member there.
#include <fmt/format.h>

#include "broker/control.hpp"
#include "wire/codec.hpp"

namespace muproc::broker {

void Control::group(Connection& connection, Id id, wire::GroupRequest::Reader request) {
  using What = wire::GroupRequest::What;
  Muproc& self = asker(connection);
  const std::string name = wire::string(request.getName());
  if (request.getWhat() == What::DEMONITOR) {
    core_.groups.demonitor(self.pid, request.getRef());
    return ok(connection, id);
  }
  if (const auto why = Groups::why_no_name(name); !why.empty()) throw Failure{ErrorKind::FAILED, why};

  switch (request.getWhat()) {
    case What::JOIN:
      core_.groups.join(name, self.pid);
      if (!core_.group_table.show(name, core_.groups.members(name))) {
        core_.groups.leave(name, self.pid);
        throw Failure{ErrorKind::LIMIT, fmt::format("there is no room for another member of \"{}\" in the directory", name)};
      }
      core_.send_group_change(name, {self.pid, true, 1, request.getStamp()});
      return ok(connection, id);
    case What::LEAVE:
      if (!core_.groups.leave(name, self.pid))
        throw Failure{ErrorKind::NOT_FOUND, fmt::format("{} is no member of \"{}\"", self.name, name)};
      core_.group_table.show(name, core_.groups.members(name));
      core_.send_group_change(name, {self.pid, false, 1, request.getStamp()});
      return ok(connection, id);
    case What::MONITOR: {
      if (!core_.groups.monitor(self.pid, request.getRef(), name))
        throw Failure{ErrorKind::FAILED, fmt::format("the monitor reference {} is in use", request.getRef())};
      std::vector<std::uint64_t> pids;
      for (const auto& [pid, joins] : core_.groups.members(name)) pids.insert(pids.end(), joins, pid);
      Message message(id);
      auto members = message->initGroup().initMembers(static_cast<unsigned>(pids.size()));
      for (unsigned i = 0; i < pids.size(); ++i) members.set(i, pids[i]);
      return reply(connection.id(), message);
    }
    case What::DEMONITOR: break;
  }
  throw Failure{ErrorKind::FAILED, "a request about groups that this broker does not know"};
}

}  // namespace muproc::broker
