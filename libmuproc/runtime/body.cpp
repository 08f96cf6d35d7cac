#include "runtime/body.hpp"

#include <muproc/self.hpp>

#include <cstring>

#include "wire/bounds.hpp"
#include "wire/field_words.hpp"

namespace muproc::detail {

void EnvelopeRelease::operator()(Envelope* envelope) const noexcept {
  auto* body = static_cast<Body*>(envelope);
  if (!body) return;
  if (body->pool) {
    body->pool->put(body);
  } else {
    delete body;
  }
}

Body::~Body() { close(); }

kj::ArrayPtr<const capnp::word> Body::Reader::getSegment(unsigned id) {
  if (!body_.first_is_further) {
    if (id == 0) return {body_.own.get(), body_.first_words};
    --id;
  }
  return id < body_.further.size() ? body_.further[id] : nullptr;
}

std::size_t Body::bytes() const {
  std::size_t total = first_words * sizeof(capnp::word);
  for (const auto& segment : further) total += segment.size() * sizeof(capnp::word);
  return total;
}

void Body::open() {
  if (further.empty()) {
    const bool plain = type_id == capnp::typeId<wire::Mumsg>() && wire::FieldWords::inside(own.get(), first_words);
    switch (plain ? wire::Bounds::inside : wire::check_bounds(own.get(), first_words)) {
      case wire::Bounds::inside:
        // These words are private and were just looked at: nothing is checked a second time.
        words = own.get();
        find_structure();
        return;
      case wire::Bounds::malformed: throw Error("contents that are no message");
      case wire::Bounds::far: break;
    }
  }
  // The traversal limit guards against amplification; a reader may well look at everything several times.
  const std::uint64_t limit = 8 * (bytes() / sizeof(capnp::word)) + 65536;
  reader_.emplace(*this, capnp::ReaderOptions{limit, 64});
  large_root = reader_->getRoot<capnp::AnyPointer>();
  checked_ = false;
}

/// What a body's root struct is read with depends on the root pointer alone, which is mostly the same as the last time.
void Body::find_structure() {
  std::uint64_t pointer;
  std::memcpy(&pointer, words, sizeof pointer);
  if (pointer == structure_pointer_) return;
  structure = capnp::_::PointerReader::getRootUnchecked(words).getStruct(nullptr);
  structure_pointer_ = pointer;
}

void Body::check() {
  if (checked_ || !reader_) return;
  large_root.targetSize();
  checked_ = true;
}

void Body::close() {
  words = nullptr;
  if (!reader_ && !channel) return;
  large_root = {};
  reader_.reset();
  further.clear();
  first_is_further = false;
  if (channel) channel->release_ticket(ticket);
  channel.reset();
  extents.clear();
}

BodyPtr BodyPool::take(std::size_t words) {
  if (words > k_words) return BodyPtr(new Body(words));
  if (free.empty()) {
    auto* body = new Body(k_words);
    body->pool = this;
    return BodyPtr(body);
  }
  BodyPtr body(free.back().release());
  free.pop_back();
  return body;
}

void BodyPool::put(Body* body) noexcept {
  body->close();
  free.emplace_back(body);
}

BodyPtr compact(BodyPtr body) {
  if (!body || !body->pool) return body;
  BodyPtr copy(new Body(body->first_words));
  static_cast<Envelope&>(*copy) = *body;
  copy->structure = {};
  copy->first_words = body->first_words;
  std::memcpy(copy->own.get(), body->own.get(), body->first_words * sizeof(capnp::word));
  copy->further = std::move(body->further);
  copy->first_is_further = body->first_is_further;
  copy->channel = std::move(body->channel);
  copy->ticket = body->ticket;
  copy->extents = std::move(body->extents);
  copy->open();
  return copy;
}

}  // namespace muproc::detail
