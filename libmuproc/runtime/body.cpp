#include "runtime/body.hpp"

#include <muproc/self.hpp>

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

bool Body::refuse(wire::Bounds bounds) {
  if (bounds == wire::Bounds::malformed) throw Error("contents that are no message");
  return false;
}

void Body::open_others() {
  fields = {};
  // The traversal limit guards against amplification; a reader may well look at everything several times.
  const std::uint64_t limit = 8 * (bytes() / sizeof(capnp::word)) + 65536;
  reader_.emplace(*this, capnp::ReaderOptions{limit, 256});
  large_root = reader_->getRoot<capnp::AnyPointer>();
  checked_ = false;
  if (further.empty()) check();  // small, with far pointers: no handler meets what leads outside
}

void Body::find_structure(std::uint64_t pointer) {
  structure = capnp::_::PointerReader::getRootUnchecked(words).getStruct(nullptr);
  structure_pointer_ = pointer;
}

void Body::check() {
  if (checked_ || !reader_) return;
  large_root.targetSize();
  checked_ = true;
}

void Body::close_others() {
  large_root = {};
  reader_.reset();
  further.clear();
  first_is_further = false;
  if (channel && ticket < shm::k_tickets) channel->release_ticket(ticket);
  channel.reset();
  extents.clear();
  copy.reset();
}

BodyPtr BodyPool::take_other(std::size_t words) {
  if (words > k_words) return BodyPtr(new Body(words));
  if (free_.empty()) {
    auto* body = new Body(k_words);
    body->pool = this;
    return BodyPtr(body);
  }
  BodyPtr body(free_.back().release());
  free_.pop_back();
  return body;
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
  copy->copy = std::move(body->copy);
  copy->open();
  return copy;
}

}  // namespace muproc::detail
