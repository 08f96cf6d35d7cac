// A kept mailbox whose owner is killed at random instants: a process that reads real rings, stashes, nests, puts back and
// handles, and the successors that take over from it. What the broker would do, the test does.
#include "runtime/keeper.hpp"

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "runtime/inbox.hpp"
#include "runtime/outbox.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/watchdog.hpp"
#include "wire/mumsg.capnp.h"

using namespace muproc;
using namespace muproc::detail;
using muproc::test::Random;
using muproc::test::Watchdog;

namespace {

constexpr std::uint32_t k_ring = 16 << 10;
constexpr std::size_t k_senders = 3;
constexpr std::size_t k_most = 1 << 20;

/// What lives and dies write down, in memory that all share.
struct Board {
  std::atomic<bool> stop;
  std::atomic<std::uint32_t> out_of_order, spoilt, miscounted;
  std::array<std::atomic<std::uint8_t>, k_most> started, finished;
  std::array<std::atomic<std::uint8_t>, k_most> again;  // as the last who took it in hand was told
};

class SharedBoard {
 public:
  SharedBoard()
      : board_(static_cast<Board*>(::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE,
                                          MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {
    REQUIRE(board_ != MAP_FAILED);
  }
  ~SharedBoard() { ::munmap(board_, sizeof(Board)); }
  SharedBoard(const SharedBoard&) = delete;
  SharedBoard& operator=(const SharedBoard&) = delete;
  Board* operator->() const { return board_; }

 private:
  Board* board_;
};

capnp::byte pattern(std::uint64_t number, std::size_t at) { return static_cast<capnp::byte>(number * 31 + at); }

/// One who sends numbered messages, small ones and large ones.
class Sender {
 public:
  Sender(std::uint32_t slot, std::uint64_t its_secret)
      : pid(0, slot, 1),
        secret(its_secret),
        memfd(sys::create_memfd("test-sender", shm::k_segment_size)),
        eventfd(sys::create_eventfd()),
        own_(std::make_shared<shm::OwnSegment>(memfd.get(), pid)),
        outbox_(own_, std::uint64_t{1} << 30, {.new_extent = nullptr, .drop_extent = nullptr}),
        ring(outbox_.reserve_ring(k_ring)) {}

  void open(const std::shared_ptr<Peer>& receiver, std::uint32_t cursor) {
    outbox_.open(receiver, ring, k_ring, cursor, secret);
  }
  void move(Pid from, const std::shared_ptr<Peer>& to, std::uint32_t cursor) { outbox_.move(from, to, cursor); }

  /// False when there is no room.
  bool send(Pid to, std::uint64_t number) {
    struct Lease {
      Outbox& outbox;
      ScratchLease* lease = outbox.lease();
      ~Lease() { outbox.give_back(lease); }
    } lease{outbox_};
    const std::size_t bytes = number % 17 == 0 ? 5000 : 8 + number % 64;
    auto data = lease.lease->builder().initRoot<wire::ByteMessage>().initBytes(static_cast<unsigned>(bytes));
    for (std::size_t i = 8; i < bytes; ++i) data[i] = pattern(number, i);
    std::memcpy(data.begin(), &number, sizeof number);
    shm::RecordHeader header{};
    header.kind = static_cast<std::uint8_t>(shm::RecordKind::message);
    header.target = static_cast<std::uint16_t>(to.incarnation());
    header.type_id = capnp::typeId<wire::ByteMessage>();
    header.timestamp = number + 1;
    OutChannel& channel = *outbox_.find(to);
    const bool is_sent = outbox_.write(channel, *lease.lease, header, 0);
    outbox_.settle(channel, *lease.lease);
    return is_sent;
  }
  std::uint64_t blocks_in_flight() {
    outbox_.reclaim_all();
    return own_->status().arena_blocks.load();
  }

  const Pid pid;
  const std::uint64_t secret;
  const sys::UniqueFd memfd, eventfd;

 private:
  std::shared_ptr<shm::OwnSegment> own_;
  Outbox outbox_;

 public:
  const std::size_t ring;
};

struct World {
  World() {
    for (std::uint32_t i = 0; i < k_senders; ++i)
      senders.push_back(std::make_unique<Sender>(i + 1, (i + 1) * 0x9e3779b97f4a7c15));
  }
  std::vector<shm::KeptChannel> channels() const {
    std::vector<shm::KeptChannel> channels;
    for (std::uint32_t i = 0; i < k_senders; ++i) channels.push_back({i, senders[i]->secret});
    return channels;
  }
  SharedBoard board;
  std::vector<std::unique_ptr<Sender>> senders;
};

/// An incarnation, as the process that is forked for it sees it.
class Life {
 public:
  Life(World& world, Pid self, int memfd, int predecessor, bool redelivers, std::uint64_t seed)
      : world_(world), random_(seed), own_(std::make_shared<shm::OwnSegment>(memfd, self)) {
    auto log = std::make_unique<shm::KeepLog>(own_->at(shm::k_keep_offset));
    if (predecessor >= 0) {
      const shm::PeerSegment dead(predecessor, {});
      shm::KeptRemains(dead).take_over(*own_, *log, world.channels(), redelivers);
    }
    own_->keep_header().is_whole.store(1);
    keeper_ = std::make_unique<Keeper>(own_, std::move(log));
    inbox_ = std::make_unique<Inbox>(
        own_, directory_, self, std::uint64_t{64} << 20,
        Inbox::Hooks{.corrupt = [this](const InChannel&, std::uint64_t, const std::string&) { ++world_.board->spoilt; },
                     .drained = [](const InChannel&) {},
                     .fetch_extent = [](Peer&, std::uint32_t) {},
                     .lost = [this](Pid, const std::string&) { ++world_.board->spoilt; }});
    inbox_->keep_by(*keeper_);
    for (std::uint32_t i = 0; i < k_senders; ++i) {
      const Sender& sender = *world.senders[i];
      auto peer = std::make_shared<Peer>(sender.pid, sender.memfd.get(), sys::duplicate(sender.eventfd.get()));
      inbox_->open(i, peer, sender.pid, sender.ring, k_ring, sender.secret);
    }
    inbox_->take_over();
    for (Message& message : inbox_->stash()) see(message);
  }

  int run() {
    for (;;) {
      auto message = pull();
      if (message) take(std::move(*message));
      if (!message || random_.one_in(4)) {
        if (!inbox_->stash().empty()) {
          Message oldest = inbox_->take(inbox_->stash().begin());
          handle(oldest, [] {});
        } else if (!message) {
          inbox_->publish_cursors();
          if (world_.board->stop) return 0;
          ::sched_yield();
        }
      }
    }
  }

 private:
  std::uint64_t number_of(Message& message) {
    std::uint64_t number = k_most;
    const auto data = message.bytes();
    if (data.size() >= sizeof number) std::memcpy(&number, data.data(), sizeof number);
    if (number < k_most) return number;
    ++world_.board->spoilt;
    return 0;
  }

  /// Messages of one sender come in the order in which it has sent them.
  void see(Message& message) {
    const std::uint64_t number = number_of(message);
    std::uint64_t& latest = latest_[number % k_senders];
    if (number + 1 <= latest) ++world_.board->out_of_order;
    latest = number + 1;
  }
  std::optional<Message> pull() {
    auto message = inbox_->pull();
    if (message) see(*message);
    return message;
  }

  /// It is in hand. What was told of it is written down before, so that no death in hand goes without.
  Body& begin(Message& message) {
    Body& body = Inbox::contents(message);
    world_.board->again[number_of(message)] = static_cast<std::uint8_t>(message.redelivered());
    keeper_->begin(body.kept);
    return body;
  }

  template <class Meanwhile>
  void handle(Message& message, Meanwhile&& meanwhile) {
    Body& body = begin(message);
    const std::uint64_t number = number_of(message);
    ++world_.board->started[number];
    meanwhile();
    const auto data = message.bytes();
    for (std::size_t i = 8; i < data.size(); ++i)
      if (static_cast<capnp::byte>(data[i]) != pattern(number, i)) ++world_.board->spoilt;
    ++world_.board->finished[number];
    keeper_->finish(body);
  }

  void take(Message message) {
    switch (random_.below(8)) {
      case 0: return inbox_->keep(std::move(message));  // no clause wants it
      case 1:                                           // its handler looks for something else
        return handle(message, [&] {
          if (auto other = pull()) inbox_->keep(std::move(*other));
        });
      case 2:  // its handler receives
        return handle(message, [&] {
          if (auto other = pull()) handle(*other, [] {});
        });
      case 3: {  // a behaviour keeps it for later
        keeper_->put_back(begin(message).kept);
        return inbox_->keep(std::move(message));
      }
      default: return handle(message, [] {});
    }
  }

  World& world_;
  Random random_;
  shm::Directory directory_ = shm::Directory::create("test", 1);
  std::shared_ptr<shm::OwnSegment> own_;
  std::unique_ptr<Keeper> keeper_;
  std::unique_ptr<Inbox> inbox_;
  std::map<std::uint64_t, std::uint64_t> latest_;
};

std::size_t kills_wanted(std::size_t usual) {
  const char* set = std::getenv("MUPROC_TEST_KILLS");
  return set ? std::strtoull(set, nullptr, 10) : usual;
}

/// Who is the receiver now.
class Receiver {
 public:
  Receiver(World& world, bool redelivers) : world_(world), redelivers_(redelivers) {}
  ~Receiver() {
    if (child_ > 0) kill_it();
  }

  void begin(std::uint64_t seed) {
    pid_ = Pid(0, 0, ++incarnation_);
    memfd_ = sys::create_memfd("test-receiver", shm::k_segment_size);
    peer_ = std::make_shared<Peer>(pid_, memfd_.get(), sys::create_eventfd());
    child_ = ::fork();
    REQUIRE(child_ >= 0);
    if (child_ > 0) return;
    try {
      Life life(world_, pid_, memfd_.get(), predecessor_ ? predecessor_.get() : -1, redelivers_, seed);
      ::_exit(life.run());
    } catch (const std::exception& failure) {
      std::fprintf(stderr, "a life has ended: %s\n", failure.what());
    }
    ::_exit(9);
  }
  bool is_whole() const { return peer_->segment.keep_header().is_whole.load() == 1; }
  bool has_gone() {
    const pid_t gone = ::waitpid(child_, nullptr, WNOHANG);
    if (gone == child_) child_ = -1;
    return gone != 0;
  }
  /// As the broker, when it has said hello.
  void take_over() {
    for (std::uint32_t i = 0; i < k_senders; ++i)
      addressed_ ? world_.senders[i]->move(addressed_, peer_, i) : world_.senders[i]->open(peer_, i);
    addressed_ = pid_;
  }
  Pid addressed() const { return addressed_; }

  void kill_it() {
    ::kill(child_, SIGKILL);
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = -1;
    if (!WIFSIGNALED(status)) ++world_.board->spoilt;
    if (!is_whole()) return;  // what its predecessor has left is whole still
    for (const shm::KeptInHand& message : shm::KeptRemains(peer_->segment).in_hand(world_.channels())) {
      const std::uint64_t number = message.facts.timestamp - 1;
      ++in_hand[number];
      if (message.facts.again + 1U != in_hand[number]) ++world_.board->miscounted;
      if (message.is_dropped(redelivers_)) dropped.insert(number);
    }
    predecessor_ = std::move(memfd_);
    if (addressed_ != pid_) take_over();
  }
  int end() {
    world_.board->stop = true;
    int status = 0;
    ::waitpid(child_, &status, 0);
    child_ = -1;
    return status;
  }

  std::map<std::uint64_t, unsigned> in_hand;  // deaths with it in hand
  std::set<std::uint64_t> dropped;

 private:
  World& world_;
  bool redelivers_;
  std::uint32_t incarnation_ = 0;
  Pid pid_, addressed_;
  pid_t child_ = -1;
  sys::UniqueFd memfd_, predecessor_;
  std::shared_ptr<Peer> peer_;
};

struct Tally {
  std::uint64_t sent = 0, handled = 0, dropped = 0, redelivered = 0, kills = 0, blocks = 0, lost = 0, twice = 0,
                unfinished = 0;
  std::uint32_t out_of_order = 0, spoilt = 0, miscounted = 0;
};

Tally play(std::size_t kills, bool redelivers, Random& random) {
  const Watchdog watchdog("a mailbox that is killed and kept", std::chrono::seconds(100 + kills));
  World world;
  Receiver receiver(world, redelivers);
  std::array<std::uint64_t, k_senders> next{};
  for (std::uint64_t i = 0; i < k_senders; ++i) next[i] = i;
  const auto send_some = [&](std::uint64_t attempts) {
    for (std::uint64_t n = 0; n < attempts; ++n) {
      const std::size_t i = random.below(k_senders);
      if (next[i] < k_most && world.senders[i]->send(receiver.addressed(), next[i])) next[i] += k_senders;
    }
  };
  const auto begin = [&](bool waits) {
    receiver.begin(random.bits());
    while (waits && !receiver.is_whole() && !receiver.has_gone()) ::sched_yield();
    if (waits) receiver.take_over();
  };
  begin(true);
  Tally tally;
  for (; tally.kills < kills; ++tally.kills) {
    send_some(random.below(400));
    receiver.kill_it();
    send_some(random.below(20));  // nobody is there
    begin(!random.one_in(8) || tally.kills + 1 == kills);
  }
  std::set<std::uint64_t> sent;
  for (std::uint64_t i = 0; i < k_senders; ++i)
    for (std::uint64_t number = i; number < next[i]; number += k_senders) sent.insert(number);
  const auto is_over = [&] {
    for (const std::uint64_t number : sent)
      if (world.board->finished[number] == 0 && !receiver.dropped.contains(number)) return false;
    return true;
  };
  while (!is_over()) ::sched_yield();
  CHECK(receiver.end() == 0);
  tally.sent = sent.size();
  for (const std::uint64_t number : sent) {
    const unsigned started = world.board->started[number], finished = world.board->finished[number];
    const bool is_dropped = receiver.dropped.contains(number);
    tally.dropped += is_dropped;
    tally.handled += finished > 0 && !is_dropped;
    tally.lost += started == 0 && !is_dropped;
    tally.twice += !redelivers && started > 1;
    tally.unfinished += !is_dropped && finished == 0;
    const auto hands = receiver.in_hand.find(number);
    const unsigned deaths = hands == receiver.in_hand.end() ? 0 : hands->second;
    tally.redelivered += redelivers ? deaths : 0;
    const unsigned expected = redelivers ? std::min(deaths, shm::k_most_redeliveries) : 0;
    if (world.board->again[number] != expected) ++world.board->miscounted;
  }
  for (const auto& sender : world.senders) tally.blocks += sender->blocks_in_flight();
  tally.out_of_order = world.board->out_of_order;
  tally.spoilt = world.board->spoilt;
  tally.miscounted = world.board->miscounted;
  return tally;
}

void check(const Tally& tally) {
  CHECK(tally.sent == tally.handled + tally.dropped);
  CHECK(tally.lost == 0);
  CHECK(tally.unfinished == 0);
  CHECK(tally.out_of_order == 0);
  CHECK(tally.spoilt == 0);
  CHECK(tally.miscounted == 0);
  CHECK(tally.blocks == 0);
}

}  // namespace

TEST_CASE("killed at any instant, a kept mailbox loses nothing but what it names as dropped in hand", "[keep][kills]") {
  Random random;
  const Tally tally = play(kills_wanted(60), false, random);
  INFO(random.how_to_repeat());
  check(tally);
  CHECK(tally.twice == 0);
  WARN(tally.kills << " kills: " << tally.sent << " sent = " << tally.handled << " handled + " << tally.dropped
                   << " dropped in hand");
}

TEST_CASE("killed at any instant, a kept mailbox that redelivers has every message handled, and counts its deliveries",
          "[keep][kills]") {
  Random random;
  const Tally tally = play(kills_wanted(60), true, random);
  INFO(random.how_to_repeat());
  check(tally);
  WARN(tally.kills << " kills: " << tally.sent << " sent = " << tally.handled << " handled + " << tally.dropped
                   << " dropped after 3, " << tally.redelivered << " deliveries were repeated");
}

TEST_CASE("the log of kept messages begins anew when most of it is handled, and what waits stays in order", "[keep]") {
  const sys::UniqueFd memfd = sys::create_memfd("test-log", shm::k_segment_size);
  const shm::OwnSegment own(memfd.get(), Pid(0, 0, 1));
  shm::KeepLog log(own.at(shm::k_keep_offset));
  std::array<std::uint64_t, 16> words{};
  const auto append = [&](std::uint64_t number) {
    shm::KeptFacts facts;
    facts.timestamp = number;
    facts.words = static_cast<std::uint32_t>(words.size());
    words.fill(number);
    return log.append(facts, shm::KeptState::waiting, reinterpret_cast<const std::byte*>(words.data()));
  };
  std::vector<shm::KeepLog::Place> kept;
  for (std::uint64_t n = 0; n < 20000; ++n) {
    const auto place = append(n);
    n % 1000 == 0 ? kept.push_back(place) : log.finish(place);
  }
  CHECK(own.keep_header().generation.load() > 0);
  CHECK(log.places() == kept);
  std::uint64_t expected = 0;
  for (const auto place : kept) {
    CHECK(log.facts(place).timestamp == expected);
    std::uint64_t first;
    std::memcpy(&first, log.body(place), sizeof first);
    CHECK(first == expected);
    expected += 1000;
  }
  const shm::PeerSegment dead(memfd.get(), {});
  CHECK(shm::KeptRemains(dead).in_log(false) == kept.size());
}

TEST_CASE("of the log of one that has spoilt it no more is looked at than an honest one could have left", "[keep][security]") {
  const sys::UniqueFd memfd = sys::create_memfd("test-log", shm::k_segment_size);
  const shm::OwnSegment own(memfd.get(), Pid(0, 0, 1));
  shm::KeepLog log(own.at(shm::k_keep_offset));
  constexpr std::uint64_t honest = shm::k_keep_half / 256;
  const std::byte nothing{};
  for (std::uint64_t n = 0; n < honest + 1000; ++n) log.append({}, n < 5000 ? shm::KeptState::in_hand : shm::KeptState::waiting, &nothing);
  const shm::PeerSegment dead(memfd.get(), {});
  const shm::KeptRemains remains(dead);
  CHECK(remains.in_log(true) == honest);
  CHECK(remains.in_log(false) == honest - 5000);
  CHECK(remains.in_hand({}).size() == 1024);
}
