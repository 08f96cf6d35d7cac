#include "tools/common/broker_link.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

#include "sys/fd.hpp"
#include "tools/common/text.hpp"
#include "wire/codec.hpp"
#include "wire/version.hpp"

namespace muproc::tools {
namespace {

using namespace std::chrono;
using Clock = steady_clock;

/// Nothing when nobody listens there, or nobody can be let in now: a stopped broker's queue may be full.
sys::UniqueFd try_connect(const std::filesystem::path& folder) {
  const std::string path = (folder / "control.sock").native();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return {};
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  sys::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
  return socket;
}

}  // namespace

short BrokerLink::events() const {
  return static_cast<short>(POLLIN | (socket_ && socket_.bytes_waiting() > 0 ? POLLOUT : 0));
}

bool BrokerLink::is_answering() const {
  const auto now = Clock::now();
  return socket_ && std::none_of(asked_.begin(), asked_.end(), [&](const auto& entry) {
           return !entry.second.may_wait && now - entry.second.since > 1s;
         });
}

void BrokerLink::connect() {
  if (Clock::now() < next_try_) return;
  next_try_ = Clock::now() + 1s;
  sys::UniqueFd socket = try_connect(folder_);
  if (!socket) return;
  socket_ = wire::FrameSocket(std::move(socket));
  ++generation_;
  ask(
      [](wire::ToBroker::Builder request) {
        auto attach = request.initAttach();
        attach.setLayoutVersion(wire::k_layout_version);
        attach.setLibraryVersion(wire::k_library_version);
        attach.setMailbox(false);
      },
      [](const wire::FromBroker::Reader*, const std::string&) {});
}

void BrokerLink::send(const Fill& fill, Answer answer, bool may_wait) {
  if (!socket_) return answer(nullptr, "the broker does not answer");
  capnp::MallocMessageBuilder request;
  auto root = request.initRoot<wire::ToBroker>();
  root.setId(++last_id_);
  fill(root);
  asked_[last_id_] = {std::move(answer), Clock::now(), may_wait};
  socket_.send(request);
}

void BrokerLink::pump() {
  if (!socket_) connect();
  if (!socket_) return;
  try {
    socket_.flush();
    while (auto frame = socket_ ? socket_.receive() : std::nullopt) take(std::move(*frame));
    if (socket_ && socket_.closed()) lose("the broker has closed the connection");
  } catch (const wire::FrameError& nonsense) {
    lose(std::string("the broker sends nonsense: ") + nonsense.what());
  } catch (const kj::Exception& nonsense) {
    lose(std::string("the broker sends nonsense: ") + nonsense.getDescription().cStr());
  }
}

void BrokerLink::take(wire::Frame frame) {
  const auto reply = frame.as<wire::FromBroker>();
  if (reply.isRefused()) return lose("the broker refuses this tool: " + printable(wire::view(reply.getRefused())));
  auto asked = asked_.extract(reply.getId());
  if (asked.empty()) return;
  if (reply.isError()) return asked.mapped().answer(nullptr, printable(wire::view(reply.getError().getText())));
  asked.mapped().answer(&reply, {});
}

void BrokerLink::lose(const std::string& why) {
  socket_.close();
  socket_ = wire::FrameSocket();
  const auto asked = std::exchange(asked_, {});
  for (const auto& [id, question] : asked) question.answer(nullptr, why);
}

}  // namespace muproc::tools
