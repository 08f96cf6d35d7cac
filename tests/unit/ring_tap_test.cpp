// Listening in on a ring: what is given is what was written, whatever happens meanwhile, and the rest is counted.
#include "tools/common/ring_tap.hpp"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "shm/ring.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "sys/error.hpp"

using namespace muproc;
using namespace muproc::shm;
using namespace muproc::tools;
using Start = RingTap::Start;
using Numbers = std::vector<std::uint64_t>;

namespace {

constexpr std::uint64_t k_secret = 0x5ec3e75ec3e75ec3;
constexpr std::size_t k_size = 4096;

/// A channel in memory that a forked child shares.
class Channel {
 public:
  Channel()
      : base_(static_cast<std::byte*>(sys::check(::mmap(nullptr, k_size + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), "mmap"))),
        consumed(*new (base_ + k_size) AtomicU64(0)),
        position(*new (base_ + k_size + 64) AtomicU64(0)),
        done(*new (base_ + k_size + 128) AtomicU64(0)),
        writer(base_, k_size, k_secret, &consumed),
        reader(base_, k_size, k_secret, &consumed) {}
  ~Channel() { ::munmap(base_, k_size + 4096); }
  Channel(const Channel&) = delete;

  /// A record whose words all are its number.
  bool say(std::uint64_t number, std::size_t words = 4) {
    const Numbers body(words, number);
    RecordHeader header{};
    header.kind = static_cast<std::uint8_t>(RecordKind::message);
    header.type_id = number;
    const std::span<const std::byte> parts[] = {std::as_bytes(std::span(body))};
    return writer.write(header, parts);
  }
  void say_from_to(std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t n = first; n <= last; ++n) REQUIRE(say(n));
  }
  /// As Inbox does.
  bool hear() {
    RecordHeader header;
    if (reader.look(header) != RingReader::Look::record) return false;
    reader.advance(header);
    position.store(reader.position(), std::memory_order_relaxed);
    return true;
  }
  void hear_all() {
    while (hear()) continue;
    reader.publish();
  }
  TappedRing ring() const { return {base_, k_size, k_secret, &consumed, &position}; }
  std::byte* bytes() { return base_; }

 private:
  std::byte* base_;

 public:
  AtomicU64& consumed;
  AtomicU64& position;
  AtomicU64& done;
  RingWriter writer;
  RingReader reader;
};

/// The number that all of it says; a record that is not of one piece is 0.
std::uint64_t number_of(const TappedRecord& record) {
  Numbers words(record.body.size() / 8);
  if (!words.empty()) std::memcpy(words.data(), record.body.data(), record.body.size());
  for (const std::uint64_t word : words)
    if (word != record.header.type_id) return 0;
  return record.header.type_id;
}

Numbers poll(RingTap& tap, std::uint64_t most = ~std::uint64_t{0}) {
  Numbers numbers;
  tap.poll([&](const TappedRecord& record) { numbers.push_back(number_of(record)); }, most);
  return numbers;
}

}  // namespace

TEST_CASE("a tap gives what is written from when it begins, once, whether it was received or not", "[trace][tap]") {
  Channel channel;
  channel.say_from_to(1, 3);
  RingTap tap(channel.ring(), Start::now);
  CHECK(poll(tap).empty());
  channel.say_from_to(4, 5);
  CHECK(poll(tap) == Numbers{4, 5});
  CHECK(poll(tap).empty());
  channel.say(6);
  channel.hear_all();
  channel.say(7);
  CHECK(poll(tap) == Numbers{6, 7});
  CHECK(tap.seen() == 4);
  CHECK(tap.missed() == 0);
}

TEST_CASE("a tap that begins with what waits gives that first, and takes nothing from the receiver", "[trace][tap]") {
  Channel channel;
  channel.say_from_to(1, 3);
  channel.hear();
  RingTap tap(channel.ring(), Start::waiting);
  CHECK(poll(tap) == Numbers{2, 3});
  int heard = 0;
  while (channel.hear()) ++heard;
  CHECK(heard == 2);
}

TEST_CASE("a tap that begins where the channel was opened gives what the receiver has had", "[trace][tap]") {
  Channel channel;
  channel.say_from_to(1, 3);
  channel.hear_all();
  RingTap tap(channel.ring(), Start::opened);
  CHECK(poll(tap) == Numbers{1, 2, 3});
}

TEST_CASE("a tap follows the ring over its end, over skips, for many laps", "[trace][tap]") {
  Channel channel;
  RingTap tap(channel.ring(), Start::now);
  test::Random random(7);
  Numbers said, tapped;
  for (std::uint64_t n = 1; n <= 5000; ++n) {
    REQUIRE(channel.say(n, random.below(max_record_words(k_size)) + 1));
    said.push_back(n);
    if (random.below(2) == 0) channel.hear_all();
    for (const std::uint64_t got : poll(tap)) tapped.push_back(got);
    if (random.below(2) == 0) channel.hear_all();
    if (channel.writer.unread() > k_size / 2) channel.hear_all();
  }
  CHECK(tapped == said);
  CHECK(tap.missed_bytes() == 0);
}

TEST_CASE("so many and no more: the rest comes at the next poll", "[trace][tap]") {
  Channel channel;
  RingTap tap(channel.ring(), Start::now);
  channel.say_from_to(1, 5);
  CHECK(poll(tap, 2) == Numbers{1, 2});
  CHECK(poll(tap, 2) == Numbers{3, 4});
  CHECK(poll(tap, 2) == Numbers{5});
}

TEST_CASE("what was written over before the tap came is counted, and it goes on with what is there", "[trace][tap]") {
  Channel channel;
  RingTap tap(channel.ring(), Start::now);
  std::uint64_t said = 0;
  for (int lap = 0; lap < 10; ++lap) {
    while (channel.say(said + 1)) ++said;
    channel.hear_all();
  }
  channel.say_from_to(said + 1, said + 3);
  said += 3;
  const Numbers given = poll(tap);
  REQUIRE(given.size() >= k_size / 2 / record_size(4));  // half a ring is still there, received or not
  for (std::size_t i = 0; i < given.size(); ++i) CHECK(given[i] == said - given.size() + 1 + i);
  CHECK(tap.seen() + tap.missed() == said);
  CHECK(tap.missed_bytes() == (said - given.size()) * record_size(4));
}

TEST_CASE("a full ring whose receiver stands still is given whole", "[trace][tap]") {
  Channel channel;
  RingTap tap(channel.ring(), Start::now);
  std::uint64_t said = 0;
  while (channel.say(said + 1)) ++said;
  CHECK(poll(tap).size() == said);
  CHECK(tap.missed_bytes() == 0);
}

TEST_CASE("what is written over between the copy and the look is not given", "[trace][tap]") {
  Channel channel;
  RingTap tap(channel.ring(), Start::now);
  channel.say_from_to(1, 3);
  std::uint64_t said = 3;
  bool is_first = true;
  tap.when_copied = [&] {
    if (!std::exchange(is_first, false)) return;
    channel.hear_all();
    while (channel.say(said + 1)) ++said;  // a lap and a bit, over the place of the first three
  };
  Numbers given = poll(tap);
  REQUIRE_FALSE(given.empty());
  CHECK(given.front() == 4);
  CHECK(given.back() == said);
  CHECK(tap.seen() + tap.missed() == said);
}

TEST_CASE("a writer that stands still in the midst of writing over the oldest record deceives no tap", "[trace][tap]") {
  Channel channel;
  RingTap tap(channel.ring(), Start::now);
  channel.say_from_to(1, 40);
  channel.hear_all();
  // Room for 64 records: the next lap's first are being written over the first of this one, and the mark is the last store.
  std::uint64_t said = 40;
  while (said < 64) channel.say(++said), channel.hear_all();
  std::byte* body = channel.writer.claim(4);
  REQUIRE(body == channel.bytes() + sizeof(RecordHeader));
  std::memset(body, 0xee, 32);  // and here it stops
  for (const std::uint64_t number : poll(tap)) CHECK(number != 0);
  CHECK(tap.seen() + tap.missed() == said);
}

TEST_CASE("what is no chain of records is said to be none, and nothing is read outside of the ring", "[trace][tap]") {
  SECTION("a record that says it is longer than the ring") {
    Channel channel;
    RingTap tap(channel.ring(), Start::now);
    channel.say(1);
    const std::uint32_t words = 0xffffffff;
    std::memcpy(channel.bytes() + 8, &words, 4);
    CHECK(poll(tap).empty());
    CHECK(tap.is_broken());
  }
  SECTION("a skip at the beginning") {
    Channel channel;
    RingTap tap(channel.ring(), Start::now);
    channel.say(1);
    channel.bytes()[12] = std::byte{0};
    CHECK(poll(tap).empty());
    CHECK(tap.is_broken());
  }
  SECTION("a kind that there is not") {
    Channel channel;
    RingTap tap(channel.ring(), Start::now);
    channel.say(1);
    channel.bytes()[12] = std::byte{99};
    CHECK(poll(tap).empty());
    CHECK(tap.is_broken());
  }
  SECTION("a receiver that is nowhere") {
    Channel channel;
    channel.say(1);
    channel.consumed = 3;
    RingTap tap(channel.ring(), Start::now);
    CHECK(poll(tap).empty());
    CHECK(tap.is_broken());
  }
  SECTION("a receiver that is far beyond the writer") {
    Channel channel;
    channel.say(1);
    channel.consumed = std::uint64_t{1} << 60;
    RingTap tap(channel.ring(), Start::now);
    CHECK(poll(tap).empty());
  }
  SECTION("a ring of a size that there is not") {
    Channel channel;
    TappedRing ring = channel.ring();
    ring.size = 5000;
    RingTap tap(ring, Start::now);
    CHECK(poll(tap).empty());
    CHECK(tap.is_broken());
  }
  SECTION("random bytes everywhere") {
    test::Random random(11);
    for (int round = 0; round < 2000; ++round) {
      Channel channel;
      RingTap tap(channel.ring(), Start::now);
      channel.say_from_to(1, 20);
      for (int i = 0; i < 20; ++i) channel.bytes()[random.below(k_size)] = static_cast<std::byte>(random.below(256));
      channel.consumed = random.below(3) * 64;
      channel.position = random.below(3) * 64;
      for (int i = 0; i < 3; ++i) poll(tap);
    }
    SUCCEED();
  }
}

TEST_CASE("a tap beside a writer and a receiver at full speed gives whole records in order and accounts for all", "[trace][tap]") {
  Channel channel;
  RingTap tap(channel.ring(), Start::now);
  constexpr std::uint64_t k_messages = 200'000;
  const pid_t child = ::fork();
  if (child == 0) {  // writes and receives, like two muprocs; the sizes are all alike, so that what is missed can be told
    for (std::uint64_t n = 1; n <= k_messages;) {
      const Numbers body(4, n);
      RecordHeader header{};
      header.kind = static_cast<std::uint8_t>(RecordKind::message);
      header.type_id = n;
      const std::span<const std::byte> parts[] = {std::as_bytes(std::span(body))};
      if (channel.writer.write(header, parts)) ++n;
      if (n % 13 == 0) channel.hear();
      if (n % 29 == 0 || channel.writer.unread() > 3000) channel.hear_all();
      if (n % 1000 == 0) ::usleep(50);
    }
    channel.hear_all();
    channel.done.store(1, std::memory_order_release);
    ::_exit(0);
  }
  std::uint64_t last = 0, wrong = 0;
  const auto take = [&](const TappedRecord& record) {
    const std::uint64_t number = number_of(record);
    if (number <= last) ++wrong;
    last = number;
  };
  while (channel.done.load(std::memory_order_acquire) == 0) tap.poll(take, 1000);
  while (tap.poll(take, 1000)) continue;
  ::waitpid(child, nullptr, 0);
  CHECK(wrong == 0);
  CHECK(tap.seen() > 0);
  CHECK(tap.seen() + tap.missed() == k_messages);
}
