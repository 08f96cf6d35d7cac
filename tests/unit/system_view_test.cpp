// The parts of the look into a system that need none.
#include <unistd.h>

#include <span>
#include <vector>

#include "shm/ring.hpp"
#include "support/catch.hpp"
#include "tools/common/broker_memory.hpp"
#include "tools/common/process_usage.hpp"
#include "tools/common/sampler.hpp"
#include "tools/common/system_view.hpp"
#include "tools/common/waiting.hpp"

using namespace muproc;
using namespace muproc::tools;
using namespace std::chrono_literals;

namespace {

MuprocView counted(std::uint32_t slot, std::uint64_t received) {
  MuprocView view;
  view.slot = slot;
  view.name = "m" + std::to_string(slot);
  view.pid = Pid(0, slot, 1);
  view.status = MuprocStatus();
  view.status->messages_received = received;
  return view;
}

std::shared_ptr<const Snapshot> at(std::chrono::nanoseconds time, std::vector<MuprocView> muprocs,
                                   std::uint64_t restarts = 0) {
  Snapshot snapshot;
  snapshot.taken = time;
  snapshot.restarts = restarts;
  snapshot.broker = BrokerState::gone;
  snapshot.muprocs = std::move(muprocs);
  return std::make_shared<const Snapshot>(std::move(snapshot));
}

MuprocView handling(MuprocView view, std::uint64_t timestamp, std::chrono::nanoseconds age) {
  view.status->in_hand_depth = 1;
  view.status->in_hand = {{Pid(0, 9, 1), 7, timestamp, age}};
  return view;
}

}  // namespace

TEST_CASE("what waits in a ring is counted without taking it", "[view]") {
  constexpr std::uint64_t secret = 0x9e3779b97f4a7c15;
  alignas(64) std::byte memory[4096]{};
  shm::AtomicU64 consumed{0};
  shm::RingWriter writer(memory, sizeof memory, secret, &consumed);
  const auto write = [&](std::size_t bytes) {
    const std::vector<std::byte> body(bytes);
    const std::span<const std::byte> parts[] = {body};
    shm::RecordHeader header{};
    header.kind = static_cast<std::uint8_t>(shm::RecordKind::message);
    header.timestamp = 1000 + bytes;
    return writer.write(header, parts);
  };
  const auto look = [&](std::uint64_t position) { return waiting_in(memory, sizeof memory, secret, position); };
  CHECK(look(0).messages == 0);
  for (std::size_t bytes : {8, 16, 40}) REQUIRE(write(bytes));
  CHECK(look(0).messages == 3);
  CHECK(look(0).bytes == 4 * 64);  // the last takes two lines
  CHECK(look(0).first_timestamp == 1008);
  CHECK_FALSE(look(0).has_more);
  CHECK(look(64).messages == 2);
  CHECK(look(64).first_timestamp == 1016);
  CHECK(look(writer.position()).messages == 0);
  SECTION("over the end of the ring, where a record is skipped to the beginning") {
    consumed = writer.position();
    while (writer.position() < 4096 - 128) REQUIRE(write(8));
    consumed = writer.position();
    const std::uint64_t taken = writer.position();
    REQUIRE(write(200));
    REQUIRE(write(8));
    CHECK(look(taken).messages == 2);
    CHECK(look(taken).bytes == writer.position() - taken);
  }
  SECTION("a full ring is full, and what an earlier lap left counts for nothing") {
    while (write(8)) continue;
    CHECK(look(0).bytes == sizeof memory);
    CHECK(look(4096).messages == 0);
  }
}

TEST_CASE("numbers that no ring can have are not followed", "[view]") {
  CHECK(is_ring(shm::k_rings_offset, 4096, 64));
  CHECK_FALSE(is_ring(shm::k_rings_offset, 4096, 63));
  CHECK_FALSE(is_ring(shm::k_rings_offset, 5000, 0));
  CHECK_FALSE(is_ring(shm::k_rings_offset, 0, 0));
  CHECK_FALSE(is_ring(0, 4096, 0));
  CHECK_FALSE(is_ring(shm::k_rings_offset + shm::k_rings_size, 4096, 0));
  CHECK_FALSE(is_ring(~std::uint64_t{63}, 4096, 0));
}

TEST_CASE("a segment's memfd says whose it is", "[view]") {
  CHECK(owner_of_memfd("/memfd:muproc:<0.3.1>abc (deleted)") == Pid(0, 3, 1));
  CHECK(owner_of_memfd("/memfd:muproc:<1.4095.16777215> (deleted)") == Pid(1, 4095, 16777215));
  for (const char* other : {"", "/memfd:muproc-directory (deleted)", "/memfd:muproc:", "/memfd:muproc:<0.3",
                            "/memfd:muproc:<0.3.1", "/memfd:muproc:<0.3.x>", "/memfd:muproc:<0.16777216.1>",
                            "/memfd:muproc:0.3.1>", "/dev/null", "/memfd:muproc:<99999999999999999999.1.1>"})
    CHECK_FALSE(owner_of_memfd(other));
}

TEST_CASE("a process's line in /proc is read whatever its name is", "[view]") {
  const auto usage =
      parse_process_stat("42 (a) b (c)) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 -5 3 0 1000 1000000 25 184467");
  REQUIRE(usage);
  CHECK(usage->state == 'S');
  CHECK(usage->cpu == std::chrono::seconds(200) / ::sysconf(_SC_CLK_TCK));
  CHECK(usage->threads == 3);
  CHECK(usage->resident == 25 * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
  for (const char* none : {"", "42", "42 (a)", "42 (a) S", "42 (a) S 1 2 x", "no"})
    CHECK_FALSE(parse_process_stat(none));
  const auto own = ProcessProbe(::getpid()).look();
  REQUIRE(own);
  CHECK(own->resident > 0);
  CHECK_FALSE(ProcessProbe(0).look());
}

TEST_CASE("rates are what has happened between two looks, and nothing for who is new or lies", "[view]") {
  Sampler sampler;
  const auto first = sampler.sample(at(10s, {counted(0, 100), counted(1, 50)}));
  CHECK(first.messages == 0);
  CHECK(first.span == 0ns);
  const auto second = sampler.sample(at(12s, {counted(0, 300), counted(1, 40), counted(2, 1000)}));
  CHECK(second.muprocs[0].received == 100);
  CHECK(second.muprocs[1].received == 0);
  CHECK(second.muprocs[2].received == 0);
  CHECK(second.messages == 100);
}

TEST_CASE("a message is handled since the look that did not see it, or since it was sent", "[view]") {
  Sampler sampler;
  // Never seen before: only the message's own age is known.
  auto sample = sampler.sample(at(10s, {handling(counted(0, 1), 77, 3s)}));
  CHECK(sample.muprocs[0].handling == 3s);
  sample = sampler.sample(at(12s, {handling(counted(0, 1), 77, 5s)}));
  CHECK(sample.muprocs[0].handling == 5s);
  // The next one waited for long, and is handled since the look before at the earliest.
  sample = sampler.sample(at(14s, {handling(counted(0, 2), 78, 5s)}));
  CHECK(sample.muprocs[0].handling == 2s);
  sample = sampler.sample(at(15s, {counted(0, 2)}));
  CHECK_FALSE(sample.muprocs[0].handling);
}

TEST_CASE("restarts are counted over the last minute and the last hour", "[view]") {
  Sampler sampler;
  CHECK(sampler.sample(at(0s, {}, 10)).restarts_last_hour == 0);
  auto sample = sampler.sample(at(30s, {}, 12));
  CHECK(sample.restarts_last_minute == 2);
  CHECK(sample.restarts_last_hour == 2);
  sample = sampler.sample(at(100s, {}, 13));
  CHECK(sample.restarts_last_minute == 1);
  CHECK(sample.restarts_last_hour == 3);
  sample = sampler.sample(at(2h, {}, 13));
  CHECK(sample.restarts_last_minute == 0);
  CHECK(sample.restarts_last_hour == 0);
}

TEST_CASE("a channel's blocked time is counted while its sender is seen waiting for room in it", "[view]") {
  const auto with_channel = [](std::chrono::nanoseconds time, std::uint64_t taken, bool is_blocked) {
    Snapshot snapshot;
    snapshot.taken = time;
    snapshot.broker = BrokerState::gone;
    snapshot.muprocs = {counted(0, 0), counted(1, 0)};
    if (is_blocked) snapshot.muprocs[0].status->blocked_on = Pid(0, 1, 1);
    ChannelView channel;
    channel.from = Pid(0, 0, 1);
    channel.to = Pid(0, 1, 1);
    channel.ring_size = 4096;
    channel.taken_to = taken;
    channel.waiting_bytes = is_blocked ? 4096 : 0;
    snapshot.channels = {channel};
    return std::make_shared<const Snapshot>(std::move(snapshot));
  };
  Sampler sampler;
  CHECK(sampler.sample(with_channel(1s, 0, true)).channels[0].blocked == 0s);
  auto sample = sampler.sample(with_channel(3s, 1000, true));
  CHECK(sample.channels[0].blocked == 2s);
  CHECK(sample.channels[0].is_blocked);
  CHECK(sample.channels[0].bytes == 500);
  sample = sampler.sample(with_channel(4s, 1000, false));
  CHECK(sample.channels[0].blocked == 2s);
  CHECK_FALSE(sample.channels[0].is_blocked);
  CHECK(sample.channels[0].high_water == 1);
}
