// Muprocs with real mailboxes and no broker: all in this process, and what the broker would do, the test does.
//
//     Mailboxes world;
//     auto& alice = world.muproc(); auto& bob = world.muproc();
//     world.open(alice, bob);
//     alice.send(bob, {{"cmd", "square"}});
//     CHECK(bob.next() == Mumsg{{"cmd", "square"}});
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "runtime/inbox.hpp"
#include "runtime/outbox.hpp"
#include "shm/directory.hpp"
#include "sys/clock.hpp"
#include "wire/codec.hpp"

namespace muproc::test {

class Mailboxes;

class Party {
 public:
  Party(Mailboxes& world, Pid who, std::uint64_t stash_limit, std::uint64_t max_message);

  Pid pid() const { return pid_; }
  shm::StatusBlock& status() const { return own_->status(); }
  detail::Inbox& inbox() { return *inbox_; }
  detail::Outbox& outbox() { return *outbox_; }
  detail::OutChannel& channel_to(const Party& to) {
    detail::OutChannel* channel = outbox_->find(to.pid());
    if (!channel) throw std::logic_error("no channel is open to that one");
    return *channel;
  }

  /// Builds and writes a message; false when there is no room.
  template <class T>
  bool send(const Party& to, const std::function<void(typename T::Builder)>& build,
            shm::RecordKind kind = shm::RecordKind::message, std::uint64_t ref = 0,
            std::optional<std::uint64_t> timestamp = std::nullopt);
  bool send(const Party& to, const Mumsg& mumsg) {
    return send<wire::Mumsg>(to, [&](wire::Mumsg::Builder builder) { wire::write(builder, mumsg); });
  }
  bool send_at(std::uint64_t timestamp, const Party& to, const Mumsg& mumsg) {
    return send<wire::Mumsg>(to, [&](wire::Mumsg::Builder builder) { wire::write(builder, mumsg); },
                             shm::RecordKind::message, 0, timestamp);
  }
  /// A message of one large field.
  bool send_data(const Party& to, std::size_t bytes, unsigned char content) {
    return send<wire::Mumsg>(to, [&](wire::Mumsg::Builder builder) {
      auto field = builder.initFields(1)[0];
      field.setName("data");
      field.setKey(shm::name_hash("data", 4));
      auto data = field.initData(static_cast<unsigned>(bytes));
      std::fill(data.begin(), data.end(), content);
    });
  }
  /// A record whose body is these words, whatever they say.
  bool send_raw(const Party& to, const std::vector<std::uint64_t>& body, std::uint8_t flags = 0,
                std::uint64_t type_id = capnp::typeId<wire::Mumsg>());

  std::optional<Message> pull() { return inbox_->pull(); }
  std::optional<Mumsg> next() {
    auto message = inbox_->pull();
    return message ? std::optional(message->mumsg().value()) : std::nullopt;
  }

  /// What the runtime would have told the broker.
  std::vector<std::string> corrupt;
  std::vector<Pid> drained;
  int extents_fetched = 0;
  int extents_dropped = 0;

 private:
  friend class Mailboxes;
  Mailboxes& world_;
  Pid pid_;
  sys::UniqueFd memfd_;
  sys::UniqueFd eventfd_;
  std::shared_ptr<shm::OwnSegment> own_;
  std::map<std::uint32_t, sys::UniqueFd> extents_;
  std::uint32_t next_extent_ = 0;
  std::uint32_t next_cursor_ = 0;
  std::unique_ptr<detail::Inbox> inbox_;
  std::unique_ptr<detail::Outbox> outbox_;
};

class Mailboxes {
 public:
  static constexpr std::uint64_t k_mib = std::uint64_t{1} << 20;

  Party& muproc(std::uint64_t stash_limit = 64 * k_mib, std::uint64_t max_message = 1024 * k_mib) {
    const auto slot = static_cast<std::uint32_t>(parties_.size());
    return *parties_.emplace_back(std::make_unique<Party>(*this, Pid(0, slot, 1), stash_limit, max_message));
  }

  /// What the broker does at the first send.
  void open(Party& from, Party& to, std::uint32_t ring = shm::k_default_ring) {
    const std::size_t offset = from.outbox().reserve_ring(ring);
    const std::uint32_t cursor = to.next_cursor_++;
    const std::uint64_t secret = ++secrets_ * 0x9e3779b97f4a7c15;
    from.outbox().open(peer(to), offset, ring, cursor, secret);
    to.inbox().open(cursor, peer(from), from.pid(), offset, ring, secret);
  }

  /// The process has ended: its own maps and descriptors are gone.
  void dies(Party& dead) {
    for (auto& party : parties_) {
      if (party.get() == &dead || !party->inbox_) continue;
      party->outbox().close(dead.pid());
      party->inbox().sender_died(dead.pid());
    }
    dead.inbox_.reset();
    dead.outbox_.reset();
    dead.own_.reset();
    dead.memfd_.reset();
    dead.extents_.clear();
  }

  const shm::DirectoryView& directory() const { return directory_; }
  std::uint64_t now() const { return sys::ticks(directory_.use_tsc()); }

 private:
  friend class Party;
  std::shared_ptr<detail::Peer> peer(const Party& party) {
    return std::make_shared<detail::Peer>(party.pid(), party.memfd_.get(), sys::duplicate(party.eventfd_.get()));
  }

  shm::Directory directory_ = shm::Directory::create("test", 1);
  std::vector<std::unique_ptr<Party>> parties_;
  std::uint64_t secrets_ = 0;
};

inline Party::Party(Mailboxes& world, Pid who, std::uint64_t stash_limit, std::uint64_t max_message)
    : world_(world),
      pid_(who),
      memfd_(sys::create_memfd("test-segment", shm::k_segment_size)),
      eventfd_(sys::create_eventfd()),
      own_(std::make_shared<shm::OwnSegment>(memfd_.get(), who)) {
  sys::seal_for_readers(memfd_.get());
  inbox_ = std::make_unique<detail::Inbox>(
      own_, world.directory(), who, stash_limit,
      detail::Inbox::Hooks{
          .corrupt = [this](const detail::InChannel&, std::uint64_t, const std::string& what) { corrupt.push_back(what); },
          .drained = [this](const detail::InChannel& channel) { drained.push_back(channel.peer->pid); },
          .fetch_extent =
              [this](detail::Peer& peer, std::uint32_t extent) {
                const Party& owner = *world_.parties_.at(peer.pid.slot());
                const auto at = owner.extents_.find(extent);
                if (at == owner.extents_.end()) throw Error("there is no such extent");
                ++extents_fetched;
                peer.extents[extent] = std::make_shared<const sys::Mapping>(
                    at->second.get(), sys::Mapping::Access::read_only, sys::file_size(at->second.get()));
              }});
  outbox_ = std::make_unique<detail::Outbox>(
      own_, max_message,
      detail::Outbox::Hooks{.new_extent =
                                [this](std::size_t bytes) {
                                  const std::uint32_t number = ++next_extent_;
                                  sys::UniqueFd& memfd = extents_[number] = sys::create_memfd("test-extent", bytes);
                                  sys::Mapping memory(memfd.get(), sys::Mapping::Access::read_write, bytes);
                                  sys::seal_for_readers(memfd.get());
                                  return std::pair{number, std::move(memory)};
                                },
                            .drop_extent =
                                [this](std::uint32_t number) {
                                  extents_.erase(number);
                                  ++extents_dropped;
                                }});
}

template <class T>
bool Party::send(const Party& to, const std::function<void(typename T::Builder)>& build, shm::RecordKind kind,
                 std::uint64_t ref, std::optional<std::uint64_t> timestamp) {
  struct Lease {
    detail::Outbox& outbox;
    detail::ScratchLease* lease = outbox.lease();
    ~Lease() { outbox.give_back(lease); }
  } lease{*outbox_};
  build(lease.lease->builder().template initRoot<T>());
  shm::RecordHeader header{};
  header.kind = static_cast<std::uint8_t>(kind);
  header.flags = ref ? shm::k_flag_reference : 0;
  header.target = static_cast<std::uint16_t>(to.pid().incarnation());
  header.type_id = capnp::typeId<T>();
  header.timestamp = timestamp ? *timestamp : world_.now();
  return outbox_->write(channel_to(to), *lease.lease, header, ref);
}

inline bool Party::send_raw(const Party& to, const std::vector<std::uint64_t>& body, std::uint8_t flags,
                            std::uint64_t type_id) {
  shm::RecordHeader header{};
  header.kind = static_cast<std::uint8_t>(shm::RecordKind::message);
  header.flags = flags;
  header.target = static_cast<std::uint16_t>(to.pid().incarnation());
  header.type_id = type_id;
  header.timestamp = world_.now();
  const std::span<const std::byte> parts[] = {std::as_bytes(std::span(body))};
  return channel_to(to).writer.write(header, parts);
}

}  // namespace muproc::test
