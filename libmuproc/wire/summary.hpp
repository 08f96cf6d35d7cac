// What a message is, in a few words, for lists of messages: the names of its fields, and the values that say what is
// wanted: symbols, and a text that comes first, when they are short. Other values may be large, and nobody's affair.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include <muproc/value.hpp>

#include "wire/mumsg.capnp.h"

namespace muproc::wire {

class Summary {
 public:
  /// It becomes not much longer than `limit` bytes.
  explicit Summary(std::size_t limit) : limit_(limit) {}
  /// `text` is the value of a symbol or text.
  void add(std::string_view name, Value::Kind kind, std::string_view text);
  std::string take() { return std::move(text_); }

 private:
  std::size_t limit_;
  std::string text_;
};

/// "cmd=:square x". Throws kj::Exception when the message is malformed.
std::string summary(Mumsg::Reader message, std::size_t limit);
/// Of a message as it lies in a record, copied to private memory: a mumsg, or a server's request, whose summary is its
/// name. Empty when it is of another type, or malformed.
std::string summary(std::span<const capnp::word> message, std::uint64_t type_id, std::size_t limit) noexcept;

}  // namespace muproc::wire
