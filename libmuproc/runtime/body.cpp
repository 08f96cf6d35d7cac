#include "runtime/body.hpp"

#include <cstring>

namespace muproc::detail {

void BodyRelease::operator()(Body* body) const noexcept {
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
    if (id == 0) return {body_.words.get(), body_.first_words};
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
  // The traversal limit guards against amplification; a reader may well look at everything several times.
  const std::uint64_t limit = 8 * (bytes() / sizeof(capnp::word)) + 65536;
  reader_.emplace(*this, capnp::ReaderOptions{limit, 64});
  root_ = reader_->getRoot<capnp::AnyPointer>();
  checked_ = false;
}

void Body::check() {
  if (!checked_) root_.targetSize();
  checked_ = true;
}

void Body::close() {
  root_ = {};
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
  BodyPtr own(new Body(body->first_words));
  own->first_words = body->first_words;
  std::memcpy(own->words.get(), body->words.get(), body->first_words * sizeof(capnp::word));
  own->further = std::move(body->further);
  own->first_is_further = body->first_is_further;
  own->channel = std::move(body->channel);
  own->ticket = body->ticket;
  own->extents = std::move(body->extents);
  own->open();
  return own;
}

}  // namespace muproc::detail
