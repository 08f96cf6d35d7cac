// What the broker says to those who speak its protocol by hand: tools, and muprocs that do not behave.
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <map>

#include "shm/layout.hpp"
#include "shm/ring.hpp"
#include "shm/segment.hpp"
#include "support/catch.hpp"
#include "support/system_fixture.hpp"
#include "wire/codec.hpp"
#include "wire/control.capnp.h"
#include "wire/control_socket.hpp"
#include "wire/frame.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

void waits(Self& self) {
  self.receive(on<"never">() >> [] {});
}

/// Speaks the control protocol, a frame at a time.
class Speaker {
 public:
  explicit Speaker(const std::string& system) : socket_(wire::connect_control(wire::find_system(system))) {}

  wire::FrameSocket& socket() { return socket_; }

  template <class Fill>
  void say(Fill fill) {
    capnp::MallocMessageBuilder message;
    auto request = message.initRoot<wire::ToBroker>();
    request.setId(++last_id_);
    fill(request);
    socket_.send(message);
  }
  wire::Frame hear() {
    auto frame = socket_.receive();
    if (!frame) throw std::runtime_error("the broker has closed the connection");
    return *std::move(frame);
  }
  /// The reply to the request that was said last; other frames are passed over.
  wire::Frame answer() {
    for (;;) {
      wire::Frame frame = hear();
      if (frame.as<wire::FromBroker>().getId() == last_id_) return frame;
    }
  }
  template <class Fill>
  wire::Frame ask(Fill fill) {
    say(fill);
    return answer();
  }

  wire::Frame join(bool mailbox, std::uint32_t version = shm::k_layout_version, const char* name = "") {
    return ask([&](wire::ToBroker::Builder request) {
      auto attach = request.initAttach();
      attach.setLayoutVersion(version);
      attach.setLibraryVersion("0.0.0");
      attach.setMailbox(mailbox);
      attach.setName(name);
    });
  }

 private:
  wire::FrameSocket socket_;
  std::uint64_t last_id_ = 0;
};

Speaker tool(const LiveSystem& system) {
  Speaker speaker(system.name());
  auto reply = speaker.join(false);
  REQUIRE(reply.as<wire::FromBroker>().isOk());
  return speaker;
}

std::string error_in(wire::Frame reply) {
  auto contents = reply.as<wire::FromBroker>();
  return contents.isError() ? wire::string(contents.getError().getText()) : "no error";
}

auto verb(const char* name, wire::ChildVerb::Verb verb) {
  return [=](wire::ToBroker::Builder request) {
    auto child = request.initChildVerb();
    child.setName(name);
    child.setVerb(verb);
  };
}
constexpr auto k_start = wire::ChildVerb::Verb::START, k_stop = wire::ChildVerb::Verb::STOP, k_restart = wire::ChildVerb::Verb::RESTART;

/// A muproc whose every byte is under the test's control.
struct RawMuproc : Speaker {
  std::unique_ptr<shm::OwnSegment> segment;
  sys::UniqueFd eventfd;
  Pid pid;

  RawMuproc(const std::string& system, const char* name) : Speaker(system) {
    auto kit = join(true, shm::k_layout_version, name);
    kit.expect_fds(3);
    pid = Pid(kit.as<wire::FromBroker>().getKit().getPid());
    segment = std::make_unique<shm::OwnSegment>(kit.fds()[0].get(), pid);
    eventfd = std::move(kit.fds()[1]);
    say([](wire::ToBroker::Builder request) { request.initHello().setLayoutVersion(shm::k_layout_version); });
    while (!hear().as<wire::FromBroker>().isGo()) {
    }
  }

  struct Open {
    std::uint64_t secret;
    sys::UniqueFd wake;
  };
  Open open_channel(Pid to) {
    auto reply = ask([&](wire::ToBroker::Builder request) {
      auto channel = request.initOpenChannel();
      channel.setReceiver(to.bits());
      channel.setRingOffset(shm::k_rings_offset);
      channel.setRingSize(shm::k_default_ring);
    });
    reply.expect_fds(2);
    return {reply.as<wire::FromBroker>().getChannel().getSecret(), std::move(reply.fds()[1])};
  }
};

}  // namespace

TEST_CASE("who was built with another layout is refused, and told both versions", "[broker][control]") {
  LiveSystem system;
  Speaker stranger(system.name());
  auto reply = stranger.join(true, 77);
  REQUIRE(reply.as<wire::FromBroker>().isRefused());
  const auto why = wire::string(reply.as<wire::FromBroker>().getRefused());
  CHECK_THAT(why, Contains("layout version 77") && Contains("layout version " + std::to_string(shm::k_layout_version)));
}

TEST_CASE("who talks nonsense loses its connection, and nobody else anything", "[broker][control]") {
  LiveSystem system;
  Self& self = system.self();
  Speaker stranger(system.name());
  const std::string nonsense(100, 'x');
  REQUIRE(::send(stranger.socket().fd(), nonsense.data(), nonsense.size(), MSG_NOSIGNAL) == 100);
  CHECK_THROWS(stranger.hear());
  CHECK_NOTHROW(self.spawn("a", waits));
}

TEST_CASE("an outsider that talks nonsense to the broker is one no longer", "[broker][control]") {
  LiveSystem system;
  Self& self = system.self();
  self.trap_exits(true);
  auto mad = Process::forked([&] {
    RawMuproc raw(system.name(), "mad");
    raw.ask([&](wire::ToBroker::Builder request) { request.initLink().setPeer(self.pid().bits()); });
    const std::string nonsense(100, 'x');
    (void)!::write(raw.socket().fd(), nonsense.data(), nonsense.size());
    for (;;) ::pause();
    return 0;
  });
  std::optional<Reason> reason;
  self.receive(on<"terminated", "reason">() >> [&](Value, Reason why) { reason = why; }, or_fail("the end of the mad one"));
  CHECK(*reason == "disconnected");
}

TEST_CASE("a tool sees the whole tree", "[broker][describe]") {
  LiveSystem system(supervisor(one_for_all, {2, 5s},
                               {{"a", waits, {.restart = transient, .stop = 3s}}, {"p", exec_plain({"sleep", "1000"})}}));
  Self& self = system.self();
  const auto port = self.register_port("the-port");
  const Ref watching = self.monitor("a");
  Speaker speaker = tool(system);
  auto reply = speaker.ask([](wire::ToBroker::Builder request) { request.setDescribe(""); });
  std::map<std::string, wire::Node::Reader> nodes;
  for (auto node : reply.as<wire::FromBroker>().getNodes()) nodes.emplace(wire::string(node.getName()), node);
  REQUIRE(nodes.size() == 4);

  CHECK(nodes.at("root").getKind() == static_cast<std::uint32_t>(shm::SlotKind::supervisor));
  CHECK(wire::view(nodes.at("root").getStrategy()) == "one_for_all");
  CHECK(nodes.at("root").getLimitRestarts() == 2);
  CHECK(wire::view(nodes.at("a").getParent()) == "root");
  CHECK(wire::view(nodes.at("a").getRestart()) == "transient");
  CHECK(wire::view(nodes.at("a").getStop()) == "3s");
  CHECK(nodes.at("a").getState() == static_cast<std::uint32_t>(shm::SlotState::running));
  CHECK(nodes.at("a").getPid() == self.find("a").bits());
  CHECK(wire::view(nodes.at("p").getCode()) == "sleep 1000");
  CHECK(nodes.at("p").getKind() == static_cast<std::uint32_t>(shm::SlotKind::plain));
  CHECK(wire::view(nodes.at("tester").getParent()).empty());
  CHECK(wire::view(nodes.at("tester").getPorts()[0]) == "the-port");
  CHECK(nodes.at("tester").getMonitors()[0] == self.find("a").bits());
  CHECK(watching);

  auto one = speaker.ask([](wire::ToBroker::Builder request) { request.setDescribe("a"); });
  CHECK(one.as<wire::FromBroker>().getNodes().size() == 1);
  CHECK_THAT(error_in(speaker.ask([](wire::ToBroker::Builder request) { request.setDescribe("nobody"); })),
             Contains("\"nobody\""));
}

TEST_CASE("a tool can do nothing that needs a mailbox", "[broker][control]") {
  LiveSystem system;
  Self& self = system.self();
  Speaker speaker = tool(system);
  CHECK_THAT(error_in(speaker.ask([&](wire::ToBroker::Builder request) { request.initLink().setPeer(self.pid().bits()); })),
             Contains("only a muproc"));
  CHECK_THAT(error_in(speaker.ask([&](wire::ToBroker::Builder request) { request.initMonitor().setPid(self.pid().bits()); })),
             Contains("only a muproc"));
  CHECK_THAT(error_in(speaker.ask([&](wire::ToBroker::Builder request) { request.initOpenChannel().setReceiver(self.pid().bits()); })),
             Contains("only a muproc"));
  CHECK_THAT(error_in(speaker.ask([&](wire::ToBroker::Builder request) { request.setRegisterPort("x"); })), Contains("only a muproc"));
}

TEST_CASE("a supervised child is stopped, started and restarted by hand, and that counts as no restart", "[broker][supervisor]") {
  LiveSystem system(supervisor(one_for_one, {0, 5s}, {{"a", waits}, {"b", waits}}));
  Self& self = system.self();
  Speaker speaker = tool(system);
  const Pid a = self.find("a");
  CHECK(speaker.ask(verb("a", k_stop)).as<wire::FromBroker>().isOk());
  CHECK(self.find("a") == nil_pid);
  CHECK(speaker.ask(verb("a", k_stop)).as<wire::FromBroker>().isOk());
  auto started = speaker.ask(verb("a", k_start));
  REQUIRE(started.as<wire::FromBroker>().isPid());
  CHECK(started.as<wire::FromBroker>().getPid() == self.find("a").bits());
  CHECK(self.find("a") != a);
  CHECK_THAT(error_in(speaker.ask(verb("a", k_start))), Contains("a runs already"));
  auto restarted = speaker.ask(verb("a", k_restart));
  CHECK(restarted.as<wire::FromBroker>().getPid() == self.find("a").bits());
  CHECK_THAT(error_in(speaker.ask(verb("tester", k_stop))), Contains("no supervised child is named \"tester\""));
}

TEST_CASE("a tool ends the system in order", "[broker][control]") {
  LiveSystem system(supervisor(one_for_one, {}, {{"a", waits}}));
  Speaker speaker = tool(system);
  CHECK(speaker.ask([](wire::ToBroker::Builder request) { request.setShutdown(); }).as<wire::FromBroker>().isOk());
  CHECK(system.wait() == 0);
}

TEST_CASE("while a system ends, nobody new begins", "[broker][stop]") {
  LiveSystem system(supervisor(one_for_one, {}, {{"deaf", +[](Self&) { for (;;) ::pause(); }, {.stop = forever}}}));
  Speaker speaker = tool(system);
  speaker.ask([](wire::ToBroker::Builder request) { request.setShutdown(); });
  CHECK_THROWS_WITH(system.self().spawn("late", waits), Contains("being stopped"));
  auto knock = Speaker(system.name()).join(true);
  CHECK(knock.as<wire::FromBroker>().isRefused());
  system.leave();
  system.broker().signal(SIGINT);
  CHECK(system.broker().wait() == 0);
}

TEST_CASE("who writes what is no record is ended, once the broker has seen it too", "[broker][corrupt]") {
  LiveSystem system;
  Self& self = system.self();
  auto scribbler = Process::forked([&] {
    RawMuproc raw(system.name(), "scribbler");
    auto channel = raw.open_channel(self.pid());
    raw.ask([](wire::ToBroker::Builder request) { request.setRegisterPort("has-a-channel"); });
    raw.hear();  // when the test says that it watches
    shm::RecordHeader header{};
    header.mark = shm::record_mark(channel.secret, 0);
    header.kind = 99;
    std::memcpy(raw.segment->at(shm::k_rings_offset), &header, sizeof header);
    sys::signal_eventfd(channel.wake.get());
    for (;;) ::pause();
    return 0;
  });
  const Pid pid = wait_for_name(self, "has-a-channel");  // what it hears before might be taken for an answer
  const Ref watching = self.monitor(pid);
  self.send(pid, "i am watching", true);  // opens a channel, of which it hears
  const Reason reason = reason_of(self, watching);
  CHECK(reason.is(Reason::Kind::corrupt_message));
  CHECK(scribbler.wait() == 128 + SIGKILL);
}

TEST_CASE("a lying receiver cannot have anyone killed", "[broker][corrupt]") {
  LiveSystem system;
  Self& self = system.self();
  auto liar = Process::forked([&] {
    RawMuproc raw(system.name(), "liar");
    while (!raw.hear().as<wire::FromBroker>().isChannelOpened()) {
    }
    for (const std::uint64_t position : {0, 64, 63, 1 << 20})
      raw.say([&](wire::ToBroker::Builder request) {
        auto corrupt = request.initCorruptRecord();
        corrupt.setCursor(0);
        corrupt.setPosition(position);
        corrupt.setWhat("a lie");
      });
    raw.say([&](wire::ToBroker::Builder request) { request.initCorruptRecord().setCursor(4095); });
    raw.ask([](wire::ToBroker::Builder request) { request.setDescribe(""); });
    return 0;
  });
  self.send(wait_for_name(self, "liar"), "hello", true);
  CHECK(liar.wait() == 0);
  CHECK(self.alive(self.pid()));
  CHECK_NOTHROW(self.spawn("a", waits));
}

TEST_CASE("a ring that would overlap another, or lies outside, is refused", "[broker][channels]") {
  LiveSystem system;
  Self& self = system.self();
  auto process = Process::forked([&] {
    RawMuproc raw(system.name(), "raw");
    const auto open = [&](std::uint64_t offset, std::uint32_t size) {
      return error_in(raw.ask([&](wire::ToBroker::Builder request) {
        auto channel = request.initOpenChannel();
        channel.setReceiver(self.pid().bits());
        channel.setRingOffset(offset);
        channel.setRingSize(size);
      }));
    };
    const std::string outside = open(0, shm::k_default_ring);
    const std::string first = open(shm::k_rings_offset, shm::k_default_ring);
    const std::string second = open(shm::k_rings_offset, shm::k_default_ring);
    return outside.find("must lie in the area") != outside.npos && first == "no error" &&
                   second.find("overlaps") != second.npos
               ? 0
               : 1;
  });
  CHECK(process.wait() == 0);
}
