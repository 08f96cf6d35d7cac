// What a tool makes of brokers that are not as they should be: each failure has its text and its exit code.
#include "tools/common/broker_client.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <thread>

#include "support/catch.hpp"
#include "support/child_process.hpp"
#include "tools/common/failure.hpp"

using namespace muproc;
using namespace muproc::tools;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

/// Answers one connection as it is told to, in a thread of its own. Only then is the connection closed.
class FakeBroker {
 public:
  using Behaviour = std::function<void(wire::FrameSocket& tool)>;

  explicit FakeBroker(Behaviour behaviour) : folder_(std::string(std::getenv("MUPROC_RUNTIME_DIR")) + "/fake") {
    std::filesystem::create_directories(folder_);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = folder_ / "control.sock";
    REQUIRE(path.size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, path.c_str(), path.size());
    listening_ = sys::UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(listening_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listening_.get(), 1) == 0);
    thread_ = std::thread([this, behaviour = std::move(behaviour)] {
      wire::FrameSocket tool(sys::UniqueFd(::accept(listening_.get(), nullptr, nullptr)));
      if (tool) behaviour(tool);
    });
  }
  ~FakeBroker() {
    ::shutdown(listening_.get(), SHUT_RDWR);
    thread_.join();
    std::filesystem::remove_all(folder_);
  }

  std::string folder() const { return folder_.string(); }

 private:
  std::filesystem::path folder_;
  sys::UniqueFd listening_;
  std::thread thread_;
};

/// Answers the next request with what `fill` writes.
void answer(wire::FrameSocket& tool, const std::function<void(wire::FromBroker::Builder)>& fill) {
  auto request = tool.receive();
  if (!request) return;
  capnp::MallocMessageBuilder message;
  auto reply = message.initRoot<wire::FromBroker>();
  reply.setId(request->as<wire::ToBroker>().getId());
  fill(reply);
  tool.send(message);
}

void admit(wire::FrameSocket& tool) {
  answer(tool, [](wire::FromBroker::Builder reply) { reply.setOk(); });
}

/// Until the tool has closed its end.
void wait_for_end(wire::FrameSocket& tool) {
  while (tool.receive()) continue;
}

struct Fate {
  ExitCode code = ExitCode::ok;
  std::string text;
};

Fate fate(const std::function<void()>& body) {
  try {
    body();
    return {};
  } catch (const Failure& failure) {
    return {failure.code, failure.what()};
  }
}

Fate fate_of_tool(FakeBroker::Behaviour behaviour) {
  FakeBroker broker(std::move(behaviour));
  return fate([&] { BrokerClient(broker.folder(), 50ms).nodes(); });
}

}  // namespace

TEST_CASE("a tool that the broker refuses says what the broker says", "[tools]") {
  const auto refused = fate_of_tool([](wire::FrameSocket& tool) {
    answer(tool, [](wire::FromBroker::Builder reply) { reply.setRefused("layout version 1, and not 2"); });
    wait_for_end(tool);
  });
  CHECK(refused.code == ExitCode::request_failed);
  CHECK_THAT(refused.text, Contains("layout version 1, and not 2"));

  const auto mismatch = fate_of_tool([](wire::FrameSocket& tool) {
    answer(tool, [](wire::FromBroker::Builder reply) {
      auto error = reply.initError();
      error.setKind(wire::Error::Kind::VERSION);
      error.setText("1 is not 2\x1b");
    });
    wait_for_end(tool);
  });
  CHECK(mismatch.code == ExitCode::request_failed);
  CHECK(mismatch.text == "1 is not 2\\x1b");
}

TEST_CASE("a request that is not permitted has an exit code of its own", "[tools]") {
  const auto refused = fate_of_tool([](wire::FrameSocket& tool) {
    admit(tool);
    answer(tool, [](wire::FromBroker::Builder reply) { reply.initError().setKind(wire::Error::Kind::PERMISSION); });
    wait_for_end(tool);
  });
  CHECK(refused.code == ExitCode::permission);
}

TEST_CASE("a broker that goes away before it answers is no broker", "[tools]") {
  const auto gone = fate_of_tool(admit);
  CHECK(gone.code == ExitCode::no_system);
  CHECK(gone.text == "the broker of fake closed the connection without an answer");
}

TEST_CASE("a broker that does not answer is waited for no longer than was said", "[tools]") {
  const auto silent = fate_of_tool([](wire::FrameSocket& tool) {
    admit(tool);
    wait_for_end(tool);
  });
  CHECK(silent.code == ExitCode::timeout);
  CHECK(silent.text == "the broker of fake does not answer within 50ms; is it stopped? \"muctl log\" works all the same");
}

TEST_CASE("a broker that sends nonsense is told apart", "[tools]") {
  const auto mad = fate_of_tool([](wire::FrameSocket& tool) {
    const std::string nonsense(100, 'x');
    if (::write(tool.fd(), nonsense.data(), nonsense.size()) != 100) std::abort();
    wait_for_end(tool);
  });
  CHECK(mad.code == ExitCode::request_failed);
  CHECK_THAT(mad.text, Contains("the broker of fake sends nonsense"));
}

TEST_CASE("answers to other requests are passed over", "[tools]") {
  const auto fine = fate_of_tool([](wire::FrameSocket& tool) {
    admit(tool);
    capnp::MallocMessageBuilder stray;
    stray.initRoot<wire::FromBroker>().setId(77);
    tool.send(stray);
    answer(tool, [](wire::FromBroker::Builder reply) { reply.initNodes(0); });
    wait_for_end(tool);
  });
  CHECK(fine.code == ExitCode::ok);
}

TEST_CASE("a tool hears when the broker ends", "[tools]") {
  FakeBroker broker(admit);
  BrokerClient tool(broker.folder());
  CHECK(tool.system() == "fake");
  CHECK(tool.wait_until_gone({}));
}

TEST_CASE("a tool waits for a broker's end no longer than was said", "[tools]") {
  FakeBroker broker([](wire::FrameSocket& tool) {
    admit(tool);
    wait_for_end(tool);
  });
  BrokerClient tool(broker.folder());
  CHECK_FALSE(tool.wait_until_gone(20ms));
}

TEST_CASE("another user's system is out of bounds, and the tool says so", "[tools]") {
  FakeBroker broker([](wire::FrameSocket&) {});
  REQUIRE(::chmod(broker.folder().c_str(), 0) == 0);
  const std::string how = test::fate_of([&] {
    if (::geteuid() == 0 && ::setuid(65534) != 0) return 124;
    return static_cast<int>(fate([&] { BrokerClient client(broker.folder()); }).code);
  });
  CHECK(how == "exit 6");
  REQUIRE(::chmod(broker.folder().c_str(), 0700) == 0);
}
