// Sizes that come in messages: whatever they say, they do not make us ask for more memory than the message is worth.
#include <capnp/serialize.h>
#include <sys/socket.h>

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "broker/supervisor_plan.hpp"
#include "runtime/inbox.hpp"
#include "support/catch.hpp"
#include "support/mailboxes.hpp"
#include "support/sanitizer.hpp"
#include "wire/bounds.hpp"
#include "wire/codec.hpp"
#include "wire/frame.hpp"

using namespace muproc;
using Catch::Matchers::Contains;
using muproc::wire::FrameHeader;
using muproc::wire::FrameSocket;

namespace {

std::size_t resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::stoul(line.substr(6));
  return 0;
}

/// In a message that has one list of one struct T: it says now that the list has `count` of them, of no size.
template <class T>
std::vector<capnp::word> with_nothings(capnp::MessageBuilder& message, std::uint64_t count) {
  const auto flat = capnp::messageToFlatArray(message);
  std::vector<capnp::word> words(flat.begin(), flat.end());
  const auto size = capnp::_::structSize<T>();
  const std::uint64_t tag = 1 << 2 | std::uint64_t{size.data} << 32 | std::uint64_t{size.pointers} << 48;
  int found = 0;
  for (auto& word : words) {
    std::uint64_t bits;
    std::memcpy(&bits, &word, 8);
    if (bits != tag) continue;
    bits = count << 2;
    std::memcpy(static_cast<void*>(&word), &bits, 8);
    ++found;
  }
  REQUIRE(found == 1);
  return words;
}

constexpr std::uint64_t k_very_many = (std::uint64_t{1} << 29) - 1;

struct Ends {
  explicit Ends(wire::Peer peer) {
    auto [first, second] = sys::socket_pair();
    ours = std::move(first);
    theirs = FrameSocket(std::move(second), peer);
    sys::set_nonblocking(theirs.fd(), true);
  }
  void say(const std::vector<capnp::word>& words) {
    const FrameHeader header{wire::k_frame_magic, 0, words.size()};
    REQUIRE(::send(ours.get(), &header, sizeof header, 0) == sizeof header);
    REQUIRE(::send(ours.get(), words.data(), words.size() * 8, 0) == static_cast<ssize_t>(words.size() * 8));
  }
  sys::UniqueFd ours;
  FrameSocket theirs;
};

}  // namespace

TEST_CASE("a frame that announces much gets no memory before it is there", "[sizes][frame]") {
  Ends ends(wire::Peer::untrusted);
  const std::size_t before = resident_kib();
  const FrameHeader header{wire::k_frame_magic, 0, wire::k_max_frame / 8};
  REQUIRE(::send(ends.ours.get(), &header, sizeof header, 0) == sizeof header);
  CHECK_FALSE(ends.theirs.receive());
  if (test::k_memory_is_ours) CHECK(resident_kib() - before < 4096);
  CHECK(ends.theirs.bytes_buffered() < 1024);
}

TEST_CASE("a list of nothings in a control message is not taken for a list of millions", "[sizes][frame]") {
  capnp::MallocMessageBuilder message;
  message.initRoot<wire::ToBroker>().initStartSupervisor().initChildren(1);
  Ends ends(wire::Peer::untrusted);
  ends.say(with_nothings<wire::Child>(message, k_very_many));
  auto frame = ends.theirs.receive();
  REQUIRE(frame);
  const std::size_t before = resident_kib();
  CHECK_THROWS_AS(broker::plan_of(frame->as<wire::ToBroker>().getStartSupervisor()), kj::Exception);
  CHECK(resident_kib() - before < 4096);
}

TEST_CASE("no tree has more children than there can be muprocs", "[sizes]") {
  capnp::MallocMessageBuilder message;
  auto supervisor = message.initRoot<wire::Supervisor>();
  supervisor.initChildren(shm::k_max_slots);
  CHECK(broker::plan_of(supervisor.asReader())->children.size() == shm::k_max_slots);
  supervisor.initChildren(shm::k_max_slots + 1);
  CHECK_THROWS_WITH(broker::plan_of(supervisor.asReader()), Contains("a tree of more than"));
}

TEST_CASE("a list of nothings in a message is malformed, and a few are a few", "[sizes][bounds]") {
  const auto bounds_with = [](std::uint64_t count) {
    capnp::MallocMessageBuilder message;
    message.initRoot<wire::Mumsg>().initFields(1);
    const auto words = with_nothings<wire::Field>(message, count);
    return wire::check_bounds(words.data() + 1, words.size() - 1);  // behind the table of segments
  };
  CHECK(bounds_with(k_very_many) == wire::Bounds::malformed);
  CHECK(bounds_with(1'000'000) == wire::Bounds::malformed);
  CHECK(bounds_with(100) == wire::Bounds::inside);
}

TEST_CASE("an answer of a broker that is trusted may be read again and again", "[sizes][frame]") {
  capnp::MallocMessageBuilder message;
  auto nodes = message.initRoot<wire::FromBroker>().initNodes(10);
  for (auto node : nodes) node.setName("a name of a muproc");
  const auto flat = capnp::messageToFlatArray(message);
  const std::vector<capnp::word> words(flat.begin(), flat.end());
  const auto reads = [&](wire::Peer peer) {
    Ends ends(peer);
    ends.say(words);
    auto frame = ends.theirs.receive();
    REQUIRE(frame);
    std::size_t bytes = 0;
    for (int i = 0; i < 10'000; ++i)
      for (const auto node : frame->as<wire::FromBroker>().getNodes()) bytes += node.getName().size();
    return bytes;
  };
  CHECK(reads(wire::Peer::trusted) == 10 * 10'000 * std::strlen("a name of a muproc"));
  CHECK_THROWS_AS(reads(wire::Peer::untrusted), kj::Exception);
}
