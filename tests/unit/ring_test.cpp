// A ring between one writer and one reader.
#include "shm/ring.hpp"

#include <sys/mman.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/watchdog.hpp"
#include "sys/error.hpp"
#include "sys/mapping.hpp"

using namespace muproc;
using namespace muproc::shm;
using muproc::test::Random;
using muproc::test::Watchdog;
using Look = RingReader::Look;
using Words = std::vector<std::uint64_t>;

namespace {

/// A ring's bytes, with a page behind them that nobody may touch.
class Memory {
 public:
  explicit Memory(std::size_t size)
      : size_(size),
        base_(static_cast<std::byte*>(sys::check(::mmap(nullptr, size + sys::k_page, PROT_READ | PROT_WRITE,
                                                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                                                 "mmap"))) {
    sys::check(::mprotect(base_ + size, sys::k_page, PROT_NONE), "mprotect");
  }
  ~Memory() { ::munmap(base_, size_ + sys::k_page); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  std::byte* at(std::uint64_t position) const { return base_ + position % size_; }
  std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  std::byte* base_;
};

constexpr std::uint64_t k_secret = 0x5ec3e75ec3e75ec3;

struct Channel {
  explicit Channel(std::size_t size = 4096)
      : memory(size), writer(memory.at(0), size, k_secret, &consumed), reader(memory.at(0), size, k_secret, &consumed) {}

  bool say(const Words& body, std::uint64_t type_id = 7) {
    RecordHeader header{};
    header.kind = static_cast<std::uint8_t>(RecordKind::message);
    header.type_id = type_id;
    const std::span<const std::byte> parts[] = {std::as_bytes(std::span(body))};
    return writer.write(header, parts);
  }

  std::optional<Words> hear() {
    RecordHeader header;
    if (reader.look(header) != Look::record) return std::nullopt;
    Words body(header.words);
    if (!body.empty()) std::memcpy(body.data(), reader.body(), body.size() * 8);
    reader.advance(header);
    return body;
  }
  Look look() {
    RecordHeader header;
    return reader.look(header);
  }

  /// Until nothing more fits.
  std::size_t fill_with(const Words& body) {
    std::size_t count = 0;
    while (say(body)) ++count;
    return count;
  }
  void read_all() {
    while (hear()) {
    }
    reader.publish();
  }

  Memory memory;
  AtomicU64 consumed{0};
  RingWriter writer;
  RingReader reader;
};

/// A writer whose stores reach the reader only when the test says so: as if it died on the way.
struct DyingWriter {
  explicit DyingWriter(std::size_t size = 4096)
      : stored(size), arrived(size), writer(stored.at(0), size, k_secret, &consumed),
        reader(arrived.at(0), size, k_secret, &consumed) {}

  void say(const Words& body) {
    RecordHeader header{};
    header.kind = static_cast<std::uint8_t>(RecordKind::message);
    const std::span<const std::byte> parts[] = {std::as_bytes(std::span(body))};
    REQUIRE(writer.write(header, parts));
  }
  void arrive(std::uint64_t from, std::size_t bytes) { std::memcpy(arrived.at(from), stored.at(from), bytes); }
  void mark_arrives(std::uint64_t position) { arrive(position, 8); }
  void all_arrives_but_the_marks(const std::vector<std::uint64_t>& positions) {
    std::vector<std::uint64_t> kept;
    for (auto position : positions) std::memcpy(&kept.emplace_back(), arrived.at(position), 8);
    arrive(0, stored.size());
    for (std::size_t i = 0; i < kept.size(); ++i) std::memcpy(arrived.at(positions[i]), &kept[i], 8);
  }
  Look look() {
    RecordHeader header;
    return reader.look(header);
  }

  Memory stored, arrived;
  AtomicU64 consumed{0};
  RingWriter writer;
  RingReader reader;
};

/// What a broken or malicious writer may do: a record with the right mark and any header.
void forge(Channel& channel, RecordHeader header) {
  header.mark = record_mark(k_secret, channel.reader.position());
  std::memcpy(channel.memory.at(channel.reader.position()), &header, sizeof header);
}

RecordHeader header_of(std::uint8_t kind, std::uint32_t words) {
  RecordHeader header{};
  header.kind = kind;
  header.words = words;
  return header;
}

constexpr auto k_message = static_cast<std::uint8_t>(RecordKind::message);
constexpr auto k_skip = static_cast<std::uint8_t>(RecordKind::skip);

}  // namespace

TEST_CASE("a ring hands on records in the order in which they were written", "[shm][ring]") {
  Channel channel;
  CHECK_FALSE(channel.hear());
  REQUIRE(channel.say({1}));
  REQUIRE(channel.say({2, 22}));
  REQUIRE(channel.say({3, 33, 333}));
  CHECK(channel.hear() == Words{1});
  CHECK(channel.hear() == Words{2, 22});
  CHECK(channel.hear() == Words{3, 33, 333});
  CHECK_FALSE(channel.hear());
}

TEST_CASE("a record's header says what the writer said", "[shm][ring]") {
  Channel channel;
  RecordHeader said{};
  said.kind = static_cast<std::uint8_t>(RecordKind::call);
  said.flags = k_flag_reference;
  said.target = 0xabcd;
  said.type_id = 0x1122334455667788;
  said.timestamp = 0x99aabbccddeeff00;
  const std::uint64_t reference = 42;
  const Words payload{1, 2, 3};
  const std::span<const std::byte> parts[] = {std::as_bytes(std::span(&reference, 1)), std::as_bytes(std::span(payload))};
  REQUIRE(channel.writer.write(said, parts));

  RecordHeader heard;
  REQUIRE(channel.reader.look(heard) == Look::record);
  CHECK(heard.words == 4);
  CHECK(heard.kind == said.kind);
  CHECK(heard.flags == said.flags);
  CHECK(heard.target == said.target);
  CHECK(heard.type_id == said.type_id);
  CHECK(heard.timestamp == said.timestamp);
  std::uint64_t body[4];
  std::memcpy(body, channel.reader.body(), sizeof body);
  CHECK(body[0] == 42);
  CHECK(body[3] == 3);
}

TEST_CASE("a record may be empty, and takes one cache line", "[shm][ring]") {
  Channel channel;
  REQUIRE(channel.say({}));
  CHECK(channel.writer.position() == 64);
  CHECK(channel.hear() == Words{});
  CHECK(channel.reader.position() == 64);
}

TEST_CASE("a payload of four words shares its header's cache line", "[shm][ring]") {
  CHECK(record_size(0) == 64);
  CHECK(record_size(4) == 64);
  CHECK(record_size(5) == 128);
  CHECK(record_size(12) == 128);
  CHECK(record_size(13) == 192);
}

TEST_CASE("looking at a record does not take it", "[shm][ring]") {
  Channel channel;
  REQUIRE(channel.say({5}));
  CHECK(channel.look() == Look::record);
  CHECK(channel.look() == Look::record);
  CHECK(channel.hear() == Words{5});
}

TEST_CASE("a record that would not fit before the ring's end goes to its beginning, behind a skip", "[shm][ring]") {
  Channel channel(4096);
  const Words one_line(4, 9), large(max_record_words(4096), 7);
  while (channel.writer.position() < 4096 - 128) {
    REQUIRE(channel.say(one_line));
    REQUIRE(channel.hear());
  }
  REQUIRE(record_size(large.size()) > 128);
  REQUIRE(channel.say(large));
  RecordHeader skip;
  std::memcpy(&skip, channel.memory.at(4096 - 128), sizeof skip);
  CHECK(skip.kind == k_skip);
  CHECK(channel.writer.position() == 4096 + record_size(large.size()));
  CHECK(channel.hear() == large);
  CHECK(channel.reader.position() == channel.writer.position());
}

TEST_CASE("a record that just fits before the ring's end needs no skip", "[shm][ring]") {
  Channel channel(4096);
  const Words one_line(4, 9), two_lines(12, 8);
  while (channel.writer.position() < 4096 - 128) {
    REQUIRE(channel.say(one_line));
    REQUIRE(channel.hear());
  }
  REQUIRE(channel.say(two_lines));
  CHECK(channel.writer.position() == 4096);
  CHECK(channel.hear() == two_lines);
}

TEST_CASE("a full ring refuses a record, and nothing of it becomes visible", "[shm][ring]") {
  Channel channel(4096);
  const Words body(4, 1);
  CHECK(channel.fill_with(body) == 4096 / 64);
  const std::vector<std::byte> before(channel.memory.at(0), channel.memory.at(0) + 4096);
  CHECK_FALSE(channel.say({2}));
  CHECK_FALSE(channel.say(Words(max_record_words(4096), 2)));
  CHECK(std::equal(before.begin(), before.end(), channel.memory.at(0)));

  channel.read_all();
  CHECK(channel.look() == Look::nothing);
  CHECK(channel.say({3}));
  CHECK(channel.hear() == Words{3});
}

TEST_CASE("a record that finds no room behind its skip leaves no skip either", "[shm][ring]") {
  Channel channel(4096);
  const Words one_line(4, 1), large(max_record_words(4096), 2);
  while (channel.writer.position() < 4096 - 64) REQUIRE(channel.say(one_line));
  REQUIRE(channel.hear());
  channel.reader.publish();  // one line is free at the beginning and one at the end: too little
  CHECK_FALSE(channel.say(large));
  CHECK(channel.writer.position() == 4096 - 64);
  CHECK(channel.say({3}));  // that would not be if the skip had been written
  CHECK(channel.writer.position() == 4096);
}

TEST_CASE("where no skip and no new look at the cursor are needed, a record is claimed where it goes anyway", "[shm][ring]") {
  Channel channel(4096);
  CHECK(channel.writer.claim_here(4) == channel.memory.at(0) + sizeof(RecordHeader));
  CHECK(channel.writer.claim_here(4) == channel.writer.claim(4));
  CHECK(channel.writer.claim_here(max_record_words(4096)) == channel.writer.claim(max_record_words(4096)));
  CHECK(channel.writer.claim_here(max_record_words(4096) + 1) == nullptr);

  const Words one_line(4, 1);
  while (channel.writer.position() < 4096 - 64) REQUIRE(channel.say(one_line));
  CHECK(channel.writer.claim_here(5) == nullptr);  // that is a skip
  CHECK(channel.writer.claim_here(4) == channel.memory.at(4096 - 64) + sizeof(RecordHeader));
  REQUIRE(channel.say(one_line));
  channel.read_all();
  channel.reader.publish();
  CHECK(channel.writer.claim_here(4) == nullptr);  // as long as the writer has not looked
  CHECK(channel.writer.claim(4) == channel.memory.at(0) + sizeof(RecordHeader));
  CHECK(channel.writer.claim_here(4) == channel.memory.at(0) + sizeof(RecordHeader));
}

TEST_CASE("room is given back in eighths of the ring, and at once when the reader publishes", "[shm][ring]") {
  Channel channel(4096);
  const Words body(4, 1);
  channel.fill_with(body);
  for (int i = 0; i < 7; ++i) REQUIRE(channel.hear());
  CHECK(channel.consumed.load() == 0);
  CHECK_FALSE(channel.say(body));
  REQUIRE(channel.hear());
  CHECK(channel.consumed.load() == 512);
  CHECK(channel.fill_with(body) == 8);

  REQUIRE(channel.hear());
  CHECK(channel.consumed.load() == 512);
  CHECK(channel.reader.publish());
  CHECK(channel.consumed.load() == 576);
  CHECK_FALSE(channel.reader.publish());
  CHECK(channel.fill_with(body) == 1);
}

TEST_CASE("the writer knows how much is unread", "[shm][ring]") {
  Channel channel;
  CHECK(channel.writer.unread() == 0);
  REQUIRE(channel.say({1}));
  REQUIRE(channel.say({2}));
  CHECK(channel.writer.unread() == 128);
  REQUIRE(channel.hear());
  channel.reader.publish();
  CHECK(channel.writer.unread() == 64);
}

TEST_CASE("a writer killed before its mark has sent nothing, and after it everything", "[shm][ring][crash]") {
  DyingWriter muproc;
  muproc.say({1, 11});
  muproc.all_arrives_but_the_marks({0});
  CHECK(muproc.look() == Look::nothing);
  muproc.mark_arrives(0);
  RecordHeader header;
  REQUIRE(muproc.reader.look(header) == Look::record);
  CHECK(header.words == 2);
}

TEST_CASE("a writer killed between a skip and its record has sent nothing", "[shm][ring][crash]") {
  DyingWriter muproc;
  const Words one_line(4, 1), large(max_record_words(4096), 2);
  while (muproc.writer.position() < 4096 - 64) muproc.say(one_line);
  muproc.arrive(0, 4096);
  RecordHeader header;
  while (muproc.reader.look(header) == Look::record) muproc.reader.advance(header);
  muproc.reader.publish();

  muproc.say(large);
  muproc.all_arrives_but_the_marks({4096 - 64, 4096});
  CHECK(muproc.look() == Look::nothing);
  CHECK(muproc.reader.position() == 4096 - 64);
  muproc.mark_arrives(4096 - 64);
  CHECK(muproc.look() == Look::nothing);
  CHECK(muproc.reader.position() == 4096);
  muproc.mark_arrives(4096);
  CHECK(muproc.look() == Look::record);
}

TEST_CASE("a record is invisible whatever part of it has arrived, while its mark has not", "[shm][ring][crash]") {
  Random random;
  INFO(random.how_to_repeat());
  DyingWriter muproc;
  for (int round = 0; round < 5000; ++round) {
    const std::uint64_t begin = muproc.writer.position();
    muproc.say(Words(random.below(max_record_words(4096) + 1), random.bits()));
    const std::uint64_t end = muproc.writer.position();
    std::vector<std::uint64_t> marks{begin};
    if (begin / 4096 != (end - 1) / 4096) marks.push_back(begin / 4096 * 4096 + 4096);  // behind a skip
    // Any eight bytes of it in any order, but for the marks.
    for (int i = 0; i < 8; ++i) {
      const std::uint64_t at = begin + random.below((end - begin) / 8) * 8;
      if (at != marks.front() && at != marks.back()) muproc.arrive(at, 8);
      REQUIRE(muproc.look() == Look::nothing);
    }
    muproc.all_arrives_but_the_marks(marks);
    REQUIRE(muproc.look() == Look::nothing);
    for (auto mark : marks) muproc.mark_arrives(mark);
    RecordHeader header;
    REQUIRE(muproc.reader.look(header) == Look::record);
    muproc.reader.advance(header);
    muproc.reader.publish();
    REQUIRE(muproc.reader.position() == end);
  }
}

TEST_CASE("no stale bytes of an earlier lap ever pass for a mark", "[shm][ring]") {
  Random random;
  INFO(random.how_to_repeat());
  Channel channel(4096);
  std::vector<std::uint64_t> old_marks{record_mark(k_secret, 0)};
  std::uint64_t said = 0, heard = 0;
  for (int round = 0; round < 50000; ++round) {
    if (random.one_in(2)) {
      // Payloads are full of what were marks once, at that very place too.
      Words body(1 + random.below(max_record_words(4096)), old_marks[random.below(old_marks.size())]);
      for (auto& word : body)
        if (random.one_in(3)) word = old_marks[random.below(old_marks.size())];
      body[0] = said;
      const std::uint64_t position = channel.writer.position();
      if (channel.say(body)) {
        ++said;
        if (old_marks.size() < 4096) old_marks.push_back(record_mark(k_secret, position));
        else old_marks[random.below(old_marks.size())] = record_mark(k_secret, position);
      }
    } else if (const auto body = channel.hear()) {
      REQUIRE(body->front() == heard++);
    } else {
      REQUIRE(heard == said);
      channel.reader.publish();
    }
  }
  CHECK(channel.writer.position() > 100 * 4096);
}

TEST_CASE("marks of different positions differ, and none is what fresh memory holds", "[shm][ring]") {
  Random random;
  INFO(random.how_to_repeat());
  for (int round = 0; round < 10000; ++round) {
    const std::uint64_t secret = random.bits(), position = random.bits() / 64 * 64;
    REQUIRE(record_mark(secret, position) != 0);
    for (std::uint64_t lap = 1; lap <= 16; ++lap)
      REQUIRE(record_mark(secret, position) != record_mark(secret, position + lap * 4096));
  }
}

TEST_CASE("a header that cannot be is reported and not followed", "[shm][ring][hostile]") {
  Channel channel(4096);
  REQUIRE(channel.say({1}));
  REQUIRE(channel.hear());

  SECTION("a body larger than an eighth of the ring") {
    forge(channel, header_of(k_message, max_record_words(4096) + 1));
    CHECK(channel.look() == Look::malformed);
  }
  SECTION("a body larger than any memory") {
    forge(channel, header_of(k_message, 0xffffffff));
    CHECK(channel.look() == Look::malformed);
  }
  SECTION("a kind that there is not") {
    forge(channel, header_of(static_cast<std::uint8_t>(RecordKind::error) + 1, 1));
    CHECK(channel.look() == Look::malformed);
    forge(channel, header_of(0xff, 1));
    CHECK(channel.look() == Look::malformed);
  }
  SECTION("a body that goes on past the ring's end") {
    while (channel.reader.position() < 4096 - 64) {
      REQUIRE(channel.say({1}));
      REQUIRE(channel.hear());
    }
    forge(channel, header_of(k_message, 4));
    CHECK(channel.look() == Look::record);
    forge(channel, header_of(k_message, 5));
    CHECK(channel.look() == Look::malformed);
  }
  SECTION("a skip at the ring's beginning, where nothing is skipped: it could go on for ever") {
    channel.reader = RingReader(channel.memory.at(0), 4096, k_secret, &channel.consumed);
    forge(channel, header_of(k_skip, 0));
    CHECK(channel.look() == Look::malformed);
  }
  CHECK(channel.look() == Look::malformed);  // it stays where it is
}

TEST_CASE("whatever the ring's bytes are, a reader stays within them", "[shm][ring][hostile]") {
  Random random;
  INFO(random.how_to_repeat());
  Channel channel(4096);  // behind it is a page that ends the process when it is read
  int records = 0;
  for (int round = 0; round < 20000; ++round) {
    RecordHeader header = header_of(static_cast<std::uint8_t>(random.below(8)),
                                    static_cast<std::uint32_t>(random.one_in(4) ? random.bits() : random.below(80)));
    header.flags = static_cast<std::uint8_t>(random.bits());
    forge(channel, header);
    RecordHeader seen;
    const std::uint64_t before = channel.reader.position();
    if (channel.reader.look(seen) != Look::record) {
      if (channel.reader.position() != before) continue;  // over a skip
      // Left standing: the reader would be closed. This one moves on to another place.
      forge(channel, header_of(k_message, 0));
      REQUIRE(channel.reader.look(seen) == Look::record);
    }
    ++records;
    const std::byte* end = channel.reader.body() + seen.words * 8;
    REQUIRE(channel.reader.body() >= channel.memory.at(0));
    REQUIRE(end <= channel.memory.at(0) + 4096);
    volatile std::byte last = seen.words ? end[-1] : std::byte{};
    (void)last;
    channel.reader.advance(seen);
  }
  CHECK(records > 0);
}

TEST_CASE("a reader with a cursor that cannot be gets no service, and does no harm", "[shm][ring][hostile]") {
  Channel channel(4096);
  const Words body(4, 1);
  channel.fill_with(body);

  SECTION("past what was written") {
    channel.consumed.store(channel.writer.position() + 64);
    CHECK_FALSE(channel.say(body));
    CHECK(channel.writer.unread() == 0);
    channel.consumed.store(~std::uint64_t{0});
    CHECK_FALSE(channel.say(body));
    CHECK(channel.writer.unread() == 0);
    channel.read_all();
    CHECK(channel.say(body));
  }
  SECTION("backwards") {
    channel.consumed.store(512);
    CHECK(channel.fill_with(body) == 8);
    channel.consumed.store(0);
    CHECK_FALSE(channel.say(body));
  }
}

TEST_CASE("a million records of all sizes pass from thread to thread, whole and in order", "[shm][ring]") {
  constexpr std::uint64_t k_records = 1'000'000;
  const Watchdog watchdog("a million records to pass through a ring");
  Channel channel(std::size_t{64} << 10);
  std::thread writer([&] {
    Words body;
    for (std::uint64_t n = 0; n < k_records; ++n) {
      body.assign(1 + n % 61, n * 0x9e3779b97f4a7c15);
      body[0] = n;
      while (!channel.say(body, n)) std::this_thread::yield();
    }
  });
  std::uint64_t wrong = 0;
  for (std::uint64_t n = 0; n < k_records;) {
    const auto body = channel.hear();
    if (!body) {
      channel.reader.publish();
      std::this_thread::yield();
      continue;
    }
    wrong += body->size() != 1 + n % 61 || body->front() != n ||
             (body->size() > 1 && (body->back() != n * 0x9e3779b97f4a7c15 || (*body)[1] != body->back()));
    ++n;
  }
  writer.join();
  CHECK(wrong == 0);
  CHECK_FALSE(channel.hear());
}
