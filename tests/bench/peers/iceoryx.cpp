// iceoryx: publishers and subscribers that poll, in memory that its daemon manages. The daemon is started here, unless one
// runs already, and ended by us.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "bench/peers/peer.hpp"
#include "iceoryx_hoofs/log/logmanager.hpp"
#include "iceoryx_posh/popo/publisher.hpp"
#include "iceoryx_posh/popo/subscriber.hpp"
#include "iceoryx_posh/runtime/posh_runtime.hpp"

namespace muproc::bench {
namespace {

class Daemon {
 public:
  Daemon() : pid_(::fork()) {
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    const int nowhere = ::open("/dev/null", O_WRONLY);  // what it says would be taken for what was measured
    ::dup2(nowhere, 1);
    ::dup2(nowhere, 2);
    ::execlp("iox-roudi", "iox-roudi", "--log-level", "fatal", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_;
};

/// What a side sends on and takes from.
class Side {
 public:
  Side(const char* name, const char* sends, const char* takes)
      : runtime_(iox::runtime::PoshRuntime::initRuntime(iox::RuntimeName_t(iox::cxx::TruncateToCapacity, name))),
        publisher_(service(sends)), subscriber_(service(takes)) {
    while (!publisher_.hasSubscribers() || subscriber_.getSubscriptionState() != iox::SubscribeState::SUBSCRIBED) ::usleep(1000);
  }
  auto to() {
    return [this](const Payload& payload) {
      publisher_.loan()
          .and_then([&](auto& sample) {
            *sample = payload;
            sample.publish();
          })
          .or_else([](auto&) { throw std::runtime_error("iceoryx has no memory for a message"); });
    };
  }
  auto from() {
    return [this](Payload& payload) {
      for (bool came = false; !came;)
        subscriber_.take().and_then([&](const auto& sample) {
          payload = *sample;
          came = true;
        });
    };
  }

 private:
  static iox::capro::ServiceDescription service(const char* direction) {
    return {"mubench", "rtt", iox::capro::IdString_t(iox::cxx::TruncateToCapacity, direction)};
  }
  iox::runtime::PoshRuntime& runtime_;
  iox::popo::Publisher<Payload> publisher_;
  iox::popo::Subscriber<Payload> subscriber_;
};

Histogram rtt(Cores cores) {
  const Daemon daemon;
  iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kFatal, iox::log::LogLevelOutput::kHideLogLevel);
  const auto serve = [] {
    Side side("mubench-server", "back", "there");
    serve_round_trips(side.to(), side.from());
  };
  const auto play = [] {
    Side side("mubench-player", "there", "back");
    return play_round_trips(side.to(), side.from());
  };
  return between_two(cores, serve, play);
}

}  // namespace
}  // namespace muproc::bench

int main(int argc, char** argv) { return muproc::bench::peer_main(argc, argv, muproc::bench::rtt); }
