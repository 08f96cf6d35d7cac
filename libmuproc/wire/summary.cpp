#include "wire/summary.hpp"

#include <capnp/message.h>

#include "wire/codec.hpp"
#include "wire/server.capnp.h"

namespace muproc::wire {
namespace {
constexpr std::size_t k_word = 24;  // bytes of a value that is still a word
}

void Summary::add(std::string_view name, Value::Kind kind, std::string_view text) {
  if (text_.size() >= limit_) return;
  const bool is_first = text_.empty();
  if (!is_first) text_ += ' ';
  text_ += name.substr(0, limit_);
  if (text.size() > k_word) return;
  if (kind == Value::Kind::symbol) (text_ += "=:") += text;
  if (kind == Value::Kind::text && is_first) ((text_ += "=\"") += text) += '"';
}

std::string summary(Mumsg::Reader message, std::size_t limit) {
  Summary text(limit);
  for (const auto field : message.getFields()) {
    if (field.isSymbol()) {
      text.add(view(field.getName()), Value::Kind::symbol, view(field.getSymbol()));
    } else if (field.isText()) {
      text.add(view(field.getName()), Value::Kind::text, view(field.getText()));
    } else {
      text.add(view(field.getName()), Value::Kind::nil, {});
    }
  }
  return text.take();
}

std::string summary(std::span<const capnp::word> message, std::uint64_t type_id, std::size_t limit) noexcept {
  if (type_id != capnp::typeId<Mumsg>() && type_id != capnp::typeId<Request>()) return {};
  try {
    const kj::ArrayPtr<const capnp::word> segment(message.data(), message.size());
    capnp::SegmentArrayMessageReader reader(kj::arrayPtr(&segment, 1));
    if (type_id == capnp::typeId<Request>()) return std::string(view(reader.getRoot<Request>().getName()).substr(0, limit));
    return summary(reader.getRoot<Mumsg>(), limit);
  } catch (...) {
    return {};
  }
}

}  // namespace muproc::wire
