// The contents of a received message: private words, copied out of a ring or made here, and for a large one the blocks
// in its sender's arena, read in place.
#pragma once

#include <capnp/message.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include <muproc/message.hpp>

#include "runtime/peer.hpp"
#include "wire/bounds.hpp"
#include "wire/field_words.hpp"
#include "wire/server.capnp.h"

namespace muproc::detail {

class BodyPool;

struct Body : Envelope {
  using Segment = kj::ArrayPtr<const capnp::word>;

  explicit Body(std::size_t capacity_words) : own(new capnp::word[capacity_words]), capacity(capacity_words) {}
  ~Body();

  /// Ready to be read: `first_words` of `own` are the first segment, `further` the others. Throws when the contents
  /// are no message: kj::Exception, or Error.
  void open() {
    if (!further.empty() || !open_small()) open_others();
  }
  /// Visits every pointer of a large message, once; throws kj::Exception when one leads outside. (All others were
  /// visited by `open`.)
  void check();
  void close() {
    words = nullptr;
    if (reader_ || channel || copy) [[unlikely]] close_others();
  }
  std::size_t bytes() const {
    std::size_t total = first_words * sizeof(capnp::word);
    for (const auto& segment : further) total += segment.size() * sizeof(capnp::word);
    return total;
  }

  std::unique_ptr<capnp::word[]> own;
  std::size_t capacity;
  std::size_t first_words = 0;
  std::vector<Segment> further;
  bool first_is_further = false;           // the first segment too lies in the arena
  std::shared_ptr<InChannel> channel;      // of a large message
  std::uint32_t ticket = 0;
  std::vector<std::shared_ptr<const sys::Mapping>> extents;  // keeps `further` mapped, whatever its sender says
  std::unique_ptr<capnp::word[]> copy;     // what `further` lies in, when it was copied out of its sender's memory
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
  /// Of one segment, whose words are private: once they were looked at, nothing is checked a second time. False when it
  /// takes Cap'n Proto's own reader. Throws Error when they are no message.
  bool open_small() {
    const bool may_be_plain = type_id == capnp::typeId<wire::Mumsg>() || type_id == capnp::typeId<wire::Request>();
    fields = may_be_plain ? wire::FieldWords::inside(own.get(), first_words) : PlainFields();
    if (!fields.first)
      if (const auto bounds = wire::check_bounds(own.get(), first_words); bounds != wire::Bounds::inside) [[unlikely]]
        return refuse(bounds);
    words = own.get();
    // What the root struct is read with depends on the root pointer alone, which is mostly the same as the last time.
    std::uint64_t pointer;
    std::memcpy(&pointer, words, sizeof pointer);
    if (pointer != structure_pointer_) find_structure(pointer);
    return true;
  }
  bool refuse(wire::Bounds bounds);
  void open_others();
  void close_others();
  void find_structure(std::uint64_t pointer);

  std::optional<Reader> reader_;  // none while one look at the whole was enough
  bool checked_ = false;
  std::uint64_t structure_pointer_ = 0;  // the root pointer that `structure` stands for; the null pointer has no struct
};

using BodyPtr = std::unique_ptr<Body, EnvelopeRelease>;

/// Bodies that stay hot: one for each level of nested handlers.
class BodyPool {
 public:
  static constexpr std::size_t k_words = 4096;  // holds any record of a default ring

  /// At least `words` large; from the pool when that is large enough.
  BodyPtr take(std::size_t words) {
    if (words > k_words || !hot_) [[unlikely]] return take_other(words);
    return BodyPtr(hot_.release());
  }
  void put(Body* body) noexcept {
    body->close();
    if (hot_) free_.push_back(std::move(hot_));
    hot_.reset(body);
  }

 private:
  BodyPtr take_other(std::size_t words);

  std::unique_ptr<Body> hot_;                // what the next one gets
  std::vector<std::unique_ptr<Body>> free_;  // while handlers were nested, more were needed
};

/// A body of its own with a copy of another's private words; takes over the large part.
BodyPtr compact(BodyPtr body);

}  // namespace muproc::detail
