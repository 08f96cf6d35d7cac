// The contents of a received message: private words, copied out of a ring or made here, and for a large one the blocks
// in its sender's arena, read in place.
#pragma once

#include <capnp/message.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include <muproc/message.hpp>

#include "runtime/peer.hpp"

namespace muproc::detail {

struct BodyPool;

struct Body : Envelope {
  using Segment = kj::ArrayPtr<const capnp::word>;

  explicit Body(std::size_t capacity_words) : own(new capnp::word[capacity_words]), capacity(capacity_words) {}
  ~Body();

  /// Ready to be read: `first_words` of `own` are the first segment, `further` the others. Throws when the contents
  /// are no message: kj::Exception, or Error.
  void open();
  /// Visits every pointer of a large message, once; throws kj::Exception when one leads outside. (All others were
  /// visited by `open`.)
  void check();
  void close();
  std::size_t bytes() const;

  std::unique_ptr<capnp::word[]> own;
  std::size_t capacity;
  std::size_t first_words = 0;
  std::vector<Segment> further;
  bool first_is_further = false;           // the first segment too lies in the arena
  std::shared_ptr<InChannel> channel;      // of a large message
  std::uint32_t ticket = 0;
  std::vector<std::shared_ptr<const sys::Mapping>> extents;  // keeps `further` mapped, whatever its sender says
  std::uint64_t stash_order = 0;           // grows with each message that is put into the stash
  BodyPool* pool = nullptr;                // where it goes back to; null: it is deleted

 private:
  class Reader : public capnp::MessageReader {
   public:
    Reader(const Body& body, capnp::ReaderOptions options) : capnp::MessageReader(options), body_(body) {}
    kj::ArrayPtr<const capnp::word> getSegment(unsigned id) override;

   private:
    const Body& body_;
  };
  void find_structure();

  std::optional<Reader> reader_;  // none while one look at the whole was enough
  bool checked_ = false;
  std::uint64_t structure_pointer_ = 0;  // the root pointer that `structure` stands for; the null pointer has no struct
};

using BodyPtr = std::unique_ptr<Body, EnvelopeRelease>;

/// Bodies that stay hot: one for each level of nested handlers.
struct BodyPool {
  static constexpr std::size_t k_words = 4096;  // holds any record of a default ring
  std::vector<std::unique_ptr<Body>> free;
  ~BodyPool() = default;

  /// At least `words` large; from the pool when that is large enough.
  BodyPtr take(std::size_t words);
  void put(Body* body) noexcept;
};

/// A body of its own with a copy of another's private words; takes over the large part.
BodyPtr compact(BodyPtr body);

}  // namespace muproc::detail
