// Dead letters in a status block: written by one, read by others who believe nothing.
#include "shm/dead_letters.hpp"

#include <capnp/message.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <thread>

#include "support/catch.hpp"
#include "wire/codec.hpp"
#include "wire/summary.hpp"

using namespace muproc;
using namespace muproc::shm;

namespace {

const Pid k_me(0, 1, 1), k_other(0, 2, 1);

std::unique_ptr<DeadLetterBox> fresh_box() { return std::make_unique<DeadLetterBox>(); }

DroppedMessage dropped(Drop why, Pid to, std::string text = {}) { return {why, k_me, to, RecordKind::message, 7, {}, std::move(text), 42}; }

std::uint64_t count_of(const DeadLettersRead& read, Drop why) { return read.counts[static_cast<std::size_t>(why)]; }

std::uint64_t count_for(const DeadLettersRead& read, Pid to) {
  for (const auto& [pid, count] : read.targets)
    if (pid == to) return count;
  return 0;
}

std::string summary_of(const Mumsg& mumsg, std::size_t limit = 70) {
  capnp::MallocMessageBuilder message;
  wire::write(message.initRoot<wire::Mumsg>(), mumsg);
  return wire::summary(message.getRoot<wire::Mumsg>().asReader(), limit);
}

}  // namespace

TEST_CASE("a dropped message is counted by its cause and its receiver, and kept", "[dead_letters]") {
  const auto box = fresh_box();
  note(*box, dropped(Drop::ended, k_other, "cmd=:go"));
  note(*box, dropped(Drop::call, k_other));
  note(*box, {Drop::no_name, k_me, {}, RecordKind::message, 7, "nobody", "x", 43});
  count(*box, Drop::late, k_other, 10);

  const DeadLettersRead seen = read(*box);
  CHECK(count_of(seen, Drop::ended) == 1);
  CHECK(count_of(seen, Drop::call) == 1);
  CHECK(count_of(seen, Drop::no_name) == 1);
  CHECK(count_of(seen, Drop::late) == 10);
  CHECK(count_for(seen, k_other) == 12);
  CHECK(count_for(seen, Pid()) == 1);
  REQUIRE(seen.last.size() == 3);
  CHECK(seen.last[0].from == k_me);
  CHECK(seen.last[0].to == k_other);
  CHECK(seen.last[0].text == "cmd=:go");
  CHECK(seen.last[0].type_id == 7);
  CHECK(seen.last[0].wall_ns == 42);
  CHECK(seen.last[2].why == Drop::no_name);
  CHECK(seen.last[2].name == "nobody");
}

TEST_CASE("the last dead letters are kept, oldest first, and long texts are cut off", "[dead_letters]") {
  const auto box = fresh_box();
  for (int n = 0; n < 100; ++n) note(*box, dropped(Drop::ended, k_other, std::to_string(n)));
  DeadLettersRead seen = read(*box);
  CHECK(count_of(seen, Drop::ended) == 100);
  REQUIRE(seen.last.size() == k_dead_letters);
  CHECK(seen.last.front().text == std::to_string(100 - k_dead_letters));
  CHECK(seen.last.back().text == "99");

  note(*box, {Drop::no_name, k_me, {}, RecordKind::message, 0, std::string(1000, 'n'), std::string(1000, 't'), 1});
  seen = read(*box);
  CHECK(seen.last.back().name == std::string(k_dead_letter_name - 1, 'n'));
  CHECK(seen.last.back().text == std::string(k_dead_letter_text - 1, 't'));
}

TEST_CASE("when there is no room for another receiver of dead letters they are counted all the same", "[dead_letters]") {
  const auto box = fresh_box();
  for (std::uint32_t n = 0; n < 100; ++n) note(*box, dropped(Drop::ended, Pid(0, n, 1)));
  const DeadLettersRead seen = read(*box);
  std::uint64_t all = 0;
  for (const auto& [pid, messages] : seen.targets) all += messages;
  CHECK(all == 100);
  CHECK(count_for(seen, Pid(0, 3, 1)) == 1);
  CHECK(count_for(seen, Pid()) == 100 - (k_drop_targets - 1));
}

TEST_CASE("nothing that a block of dead letters says can harm who reads it", "[dead_letters]") {
  const auto box = fresh_box();
  std::memset(static_cast<void*>(box.get()), 0xff, sizeof *box);
  DeadLettersRead seen = read(*box);
  CHECK(seen.last.size() <= k_dead_letters);
  box->number.store(~std::uint64_t{0} - 3);
  seen = read(*box);
  CHECK(seen.last.size() <= k_dead_letters);
  for (DeadLetter& entry : box->last) entry.number.store(1);
  box->number.store(1);
  CHECK(read(*box).last.empty());  // a cause that there is not
}

TEST_CASE("a dead letter that is written over while it is read is not half one and half the other", "[dead_letters]") {
  const auto box = fresh_box();
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int n = 0; n < 200'000; ++n) {
      const char letter = static_cast<char>('a' + n % 26);
      note(*box, {Drop::ended, Pid(static_cast<std::uint64_t>(letter)), k_other, RecordKind::message, 0, std::string(40, letter), std::string(60, letter), 1});
    }
    done = true;
  });
  std::size_t looked_at = 0, mixed = 0;
  do {
    for (const auto& message : read(*box).last) {
      const char letter = static_cast<char>(message.from.bits());
      mixed += message.name != std::string(40, letter) || message.text != std::string(60, letter);
      ++looked_at;
    }
  } while (!done);
  writer.join();
  CHECK(looked_at > 0);
  CHECK(mixed == 0);
}

TEST_CASE("a message's summary has the names of its fields, its symbols, and a text that comes first", "[dead_letters]") {
  CHECK(summary_of({{"cmd", Symbol("square")}, {"x", 3.0}}) == "cmd=:square x");
  CHECK(summary_of({{"cmd", "stop"}, {"why", "secret"}}) == "cmd=\"stop\" why");
  CHECK(summary_of({{"n", 1}, {"data", Data(1000)}}) == "n data");
  CHECK(summary_of({{"text", std::string(100, 'x')}, {"cmd", Symbol("go")}}) == "text cmd=:go");
  CHECK(summary_of({}).empty());
  CHECK(summary_of({{std::string(10'000, 'n'), Symbol(std::string(10'000, 's'))}, {"x", 1}}, 20).size() < 60);
}

TEST_CASE("what is no message has no summary", "[dead_letters]") {
  const capnp::word nonsense[4] = {};
  std::vector<capnp::word> words(nonsense, nonsense + 4);
  std::memset(static_cast<void*>(words.data()), 0xee, words.size() * 8);
  CHECK(wire::summary(words, capnp::typeId<wire::Mumsg>(), 70).empty());
  CHECK(wire::summary({}, capnp::typeId<wire::Mumsg>(), 70).empty());
  CHECK(wire::summary(words, 5, 70).empty());
}
