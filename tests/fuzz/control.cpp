// Control messages to the broker: a stream of bytes is frames or ends the connection, and what its messages describe (a
// child, a supervisor, a reason) is a plan or an error, at a cost that their size pays for.
#include <capnp/message.h>
#include <kj/exception.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "broker/supervisor_plan.hpp"
#include "sys/fd.hpp"
#include "wire/codec.hpp"
#include "wire/control.capnp.h"
#include "wire/frame.hpp"

using namespace muproc;
using namespace muproc::broker;

namespace {

void take(wire::Child::Reader child) {
  if (child.isSupervisor())
    (void)child_of(child, AutoShutdown::never);
  else
    (void)to_string(plan_of(child)->code);
}

/// What the broker reads of each before it looks at whom it is about.
void take(wire::ToBroker::Reader request) {
  switch (request.which()) {
    case wire::ToBroker::EXITING: (void)to_string(wire::read(request.getExiting())); break;
    case wire::ToBroker::EXIT: (void)to_string(wire::read(request.getExit().getReason())); break;
    case wire::ToBroker::SPAWN: take(request.getSpawn().getChild()); break;
    case wire::ToBroker::START_SUPERVISOR: (void)plan_of(request.getStartSupervisor()); break;
    case wire::ToBroker::START_CHILD:
      if (request.getStartChild().isChild())
        take(request.getStartChild().getChild());
      else
        (void)wire::read(request.getStartChild().getInstance().getArgs());
      break;
    case wire::ToBroker::RELOAD:
      for (const auto setting : request.getReload().getSettings())
        (void)(wire::string(setting.getName()) + wire::string(setting.getValue()));
      break;
    case wire::ToBroker::REGISTER_PORT: (void)wire::string(request.getRegisterPort()); break;
    case wire::ToBroker::CORRUPT_RECORD: (void)wire::string(request.getCorruptRecord().getWhat()); break;
    default: (void)request.totalSize(); break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto [ours, theirs] = sys::socket_pair();
  sys::set_nonblocking(ours.get(), true);
  sys::set_nonblocking(theirs.get(), true);
  wire::FrameSocket socket(std::move(theirs), wire::Peer::untrusted);
  try {
    while (!socket.closed()) {
      const ssize_t sent = size ? ::send(ours.get(), data, std::min<std::size_t>(size, 4096), MSG_NOSIGNAL) : 0;
      if (sent > 0) data += sent, size -= static_cast<std::size_t>(sent);
      if (size == 0) ours.reset();
      while (auto frame = socket.receive()) {
        try {
          take(frame->as<wire::ToBroker>());
        } catch (const std::invalid_argument&) {
          // Answered with an error; the connection goes on.
        }
      }
    }
  } catch (const kj::Exception&) {  // nonsense: it would lose its connection
  } catch (const wire::FrameError&) {}
  return 0;
}
