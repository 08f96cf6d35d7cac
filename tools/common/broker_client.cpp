#include "tools/common/broker_client.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "tools/common/failure.hpp"
#include "tools/common/text.hpp"
#include "wire/codec.hpp"
#include "wire/control_socket.hpp"
#include "wire/suggest.hpp"
#include "wire/version.hpp"

namespace muproc::tools {
namespace {

using namespace std::chrono;

/// What to say beside "no such system": which ones there are.
std::string advice(std::string_view system) {
  std::vector<std::string> names;
  for (const auto& folder : wire::system_folders()) names.push_back(folder.filename().string());
  const std::vector<std::string_view> views(names.begin(), names.end());
  if (system.empty() && !names.empty()) return "; -s NAME says which one is meant";
  const std::string meant = wire::did_you_mean(system, views);
  return meant.empty() ? "; start one with \"mubroker run CONFIG\"" : meant;
}

std::filesystem::path folder_of(std::string_view system) {
  auto folder = wire::find_system(system);
  return folder.has_filename() ? folder : folder.parent_path();  // "-s /run/muproc/area/"
}

ExitCode exit_code(wire::Error::Kind kind) {
  if (kind == wire::Error::Kind::BAD_CONFIG) return ExitCode::bad_config;
  if (kind == wire::Error::Kind::TIMEOUT) return ExitCode::timeout;
  return kind == wire::Error::Kind::PERMISSION ? ExitCode::permission : ExitCode::request_failed;
}

[[noreturn]] void fail(wire::FromBroker::Reader reply) {
  if (reply.isRefused())
    throw Failure(ExitCode::request_failed, "the broker refuses this tool: " + printable(wire::view(reply.getRefused())));
  const auto error = reply.getError();
  if (error.getKind() == wire::Error::Kind::BAD_CONFIG)  // lines with carets, whose blanks count
    throw Failure(ExitCode::bad_config, "nothing was changed: the config cannot be used\n" + wire::string(error.getText()));
  throw Failure(exit_code(error.getKind()), printable(wire::view(error.getText())));
}

}  // namespace

BrokerClient::BrokerClient(std::string_view system, Patience patience) try
    : folder_(folder_of(system)), patience_(patience), socket_(wire::connect_control(folder_)) {
  ::fcntl(socket_.fd(), F_SETFL, O_NONBLOCK);
  introduce();
} catch (const NoSuchName& nobody) {
  throw Failure(ExitCode::no_system, nobody.what() + advice(system));
} catch (const wire::NotPermitted& refusal) {
  throw Failure(ExitCode::permission, refusal.what() + std::string("; only its owner and root may use it: try sudo"));
}

std::string BrokerClient::system() const { return folder_.filename().string(); }

void BrokerClient::introduce() {
  const auto fill = [](wire::ToBroker::Builder request) {
    auto attach = request.initAttach();
    attach.setLayoutVersion(wire::k_layout_version);
    attach.setLibraryVersion(wire::k_library_version);
    attach.setMailbox(false);
  };
  ask(fill);
}

wire::Frame BrokerClient::ask(const std::function<void(wire::ToBroker::Builder)>& fill, Patience patience) {
  capnp::MallocMessageBuilder request;
  auto root = request.initRoot<wire::ToBroker>();
  root.setId(++last_id_);
  fill(root);
  try {
    return exchange(request, last_id_, patience);
  } catch (const wire::FrameError& nonsense) {
    throw Failure(ExitCode::request_failed,
                  fmt::format("the broker of {} sends nonsense: {}", system(), nonsense.what()));
  } catch (const kj::Exception& nonsense) {
    throw Failure(ExitCode::request_failed,
                  fmt::format("the broker of {} sends nonsense: {}", system(), nonsense.getDescription().cStr()));
  }
}

wire::Frame BrokerClient::exchange(capnp::MessageBuilder& request, std::uint64_t id, Patience patience) {
  const Deadline until = deadline(patience);
  const auto too_late = [&] {
    return Failure(ExitCode::timeout, fmt::format("the broker of {} does not answer within {}; is it stopped? \"muctl log\" works all the same",
                                                  system(), short_duration(*patience)));
  };
  for (bool is_sent = socket_.send(request); !is_sent; is_sent = socket_.flush())
    if (!wait_for(POLLOUT, until)) throw too_late();
  for (;;) {
    if (!wait_for(POLLIN, until)) throw too_late();
    while (auto frame = socket_.receive()) {
      const auto reply = frame->as<wire::FromBroker>();
      if (reply.getId() != id && !reply.isRefused()) continue;
      if (reply.isRefused() || reply.isError()) fail(reply);
      return *std::move(frame);
    }
    if (socket_.closed())
      throw Failure(ExitCode::no_system,
                    fmt::format("the broker of {} closed the connection without an answer", system()));
  }
}

Nodes BrokerClient::nodes() {
  return Nodes(ask([](wire::ToBroker::Builder request) { request.setDescribe(""); }));
}

bool BrokerClient::wait_until_gone(Patience patience) {
  const Deadline until = deadline(patience);
  for (;;) {
    while (socket_.receive()) continue;
    if (socket_.closed()) return true;
    if (!wait_for(POLLIN, until)) return false;
  }
}

BrokerClient::Deadline BrokerClient::deadline(Patience patience) {
  return patience ? Deadline(steady_clock::now() + *patience) : std::nullopt;
}

bool BrokerClient::wait_for(short events, Deadline until) const {
  for (;;) {
    pollfd what{socket_.fd(), events, 0};
    timespec left{};
    if (until) {
      const auto ns = std::max(*until - steady_clock::now(), steady_clock::duration::zero());
      left = {duration_cast<seconds>(ns).count(), (ns % 1s).count()};
    }
    const int ready = ::ppoll(&what, 1, until ? &left : nullptr, nullptr);
    if (ready >= 0) return ready > 0;
    if (errno != EINTR) throw Failure(ExitCode::request_failed, fmt::format("poll: {}", std::strerror(errno)));
  }
}

}  // namespace muproc::tools
