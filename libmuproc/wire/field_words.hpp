// The fields of a mumsg, and of a server's request, word by word: where Cap'n Proto's encoding puts what mumsg.capnp and
// server.capnp say.
//
// Fields of numbers and short texts are most of what is sent. Their words are written, and found again, here;
// everything else goes through Cap'n Proto's builders and readers, and so may these: the bytes are the same
// (tests/unit/field_words_test.cpp).
#pragma once

#include <capnp/common.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include <muproc/message.hpp>

#include "wire/mumsg.capnp.h"

namespace muproc::wire {

// A Field: three words of data, two pointers.
inline constexpr unsigned k_field_key = 0;
inline constexpr unsigned k_field_kind = 1;  // the union's tag in the low 16 bits; a boolean is bit 16
inline constexpr unsigned k_field_value = 2;
inline constexpr unsigned k_field_name = 3;
inline constexpr unsigned k_field_text = 4;
inline constexpr unsigned k_field_words = 5;
inline constexpr unsigned k_boolean_bit = 16;
// What stands before the fields of a mumsg: the root pointer, its only pointer, the tag of the list. Of a request: the
// root pointer, its id, the pointers to the list and to its name, the tag.
inline constexpr unsigned k_words_before_fields = 3;
inline constexpr unsigned k_words_before_arguments = 5;

constexpr std::uint64_t struct_pointer(std::int64_t offset, std::uint64_t data, std::uint64_t pointers) {
  return (static_cast<std::uint64_t>(offset) << 2 & 0xffffffff) | data << 32 | pointers << 48;
}
constexpr std::uint64_t list_pointer(std::int64_t offset, unsigned element_size, std::uint64_t count) {
  return 1 | (static_cast<std::uint64_t>(offset) << 2 & 0xffffffff) | std::uint64_t{element_size} << 32 | count << 35;
}
inline constexpr unsigned k_bytes = 2;           // element sizes
inline constexpr unsigned k_inline_composite = 7;

/// A text with its NUL, in words.
constexpr std::size_t text_words(std::string_view text) { return text.size() / 8 + 1; }

/// The fields of a message that was looked at by `inside`, or that has passed `check_bounds`.
class FieldWords {
 public:
  explicit FieldWords(const detail::PlainFields& fields) : first_(fields.first), size_(fields.count) {}

  /// The fields when the message has the usual shape, and every pointer of it is null or leads to bytes inside: what
  /// `check_bounds` would find of plain fields, in a few instructions for each. None says nothing.
  static detail::PlainFields inside(const capnp::word* message, std::size_t count) {
    if (count < k_words_before_fields) return {};
    const Shape* shape = shape_of(message);
    if (!shape || count < shape->before) return {};
    detail::PlainFields fields = fields_of(message, *shape);
    const std::size_t behind = count - shape->before;
    const std::uint64_t words_of_list = load(message + shape->list) >> 35;
    if (!fields.first || words_of_list > behind || fields.count > words_of_list / k_field_words) return {};
    std::size_t budget = 8 * count + 65536;  // as check_bounds has it
    const auto leads_inside = [&](std::size_t at) {
      const std::uint64_t pointer = load(message + at);
      if (pointer == 0) return true;
      const std::int64_t begin = static_cast<std::int64_t>(at) + 1 + offset_of(pointer);
      const std::uint64_t words = ((pointer >> 35) + 7) / 8;
      if ((pointer & 3) != 1 || (pointer >> 32 & 7) != k_bytes || begin < 0 ||
          static_cast<std::uint64_t>(begin) + words > count || words > budget)
        return false;
      budget -= words;
      return true;
    };
    fields.bits = 0;
    std::size_t at = shape->before;
    for (unsigned i = 0; i < fields.count; ++i, at += k_field_words) {
      fields.bits |= detail::field_bit(load(message + at + k_field_key));
      if (!leads_inside(at + k_field_name) || !leads_inside(at + k_field_text)) return {};
    }
    if (shape->has_name && !leads_inside(shape->list + 1)) return {};
    return fields;
  }

  /// Nothing when it has another shape: one that a later version has sent, say. Then ask Cap'n Proto.
  static std::optional<FieldWords> of(const capnp::word* message) {
    const Shape* shape = shape_of(message);
    const auto fields = shape ? fields_of(message, *shape) : detail::PlainFields();
    return fields.first ? std::optional<FieldWords>(fields) : std::nullopt;
  }

  unsigned size() const { return size_; }
  std::uint64_t key(unsigned i) const { return word(i, k_field_key); }
  Field::Which which(unsigned i) const { return static_cast<Field::Which>(word(i, k_field_kind)); }
  bool boolean(unsigned i) const { return word(i, k_field_kind) >> k_boolean_bit & 1; }
  std::uint64_t value(unsigned i) const { return word(i, k_field_value); }
  /// Of a symbol or text; nothing when it is none. (Its bounds were checked; that it is text was not.)
  std::optional<std::string_view> text(unsigned i) const {
    const capnp::word* at = first_ + i * k_field_words + k_field_text;
    const std::uint64_t pointer = load(at);
    const std::uint64_t bytes = pointer >> 35;
    if ((pointer & 3) != 1 || (pointer >> 32 & 7) != k_bytes || bytes == 0) return std::nullopt;
    const char* begin = reinterpret_cast<const char*>(at + 1 + offset_of(pointer));
    if (begin[bytes - 1] != 0) return std::nullopt;
    return std::string_view(begin, bytes - 1);
  }

 private:
  struct Shape {
    unsigned before;  // words before the fields
    unsigned list;    // where the pointer to them is
    bool has_name;    // behind that pointer another one, to the request's name
  };
  static const Shape* shape_of(const capnp::word* message) {
    static constexpr Shape mumsg{k_words_before_fields, 1, false}, request{k_words_before_arguments, 2, true};
    const std::uint64_t root = load(message);
    return root == struct_pointer(0, 0, 1) ? &mumsg : root == struct_pointer(0, 1, 2) ? &request : nullptr;
  }
  /// Each word says that the next is there.
  static detail::PlainFields fields_of(const capnp::word* message, const Shape& shape) {
    if ((load(message + shape.list) & 0x7ffffffff) != list_pointer(shape.has_name, k_inline_composite, 0)) return {};
    const std::uint64_t tag = load(message + shape.before - 1);
    if ((tag >> 32) != (struct_pointer(0, 3, 2) >> 32) || (tag & 3) != 0 || static_cast<std::int32_t>(tag) < 0) return {};
    return {message + shape.before, static_cast<unsigned>(tag) >> 2};
  }
  static std::int64_t offset_of(std::uint64_t pointer) { return static_cast<std::int32_t>(pointer) >> 2; }
  static std::uint64_t load(const capnp::word* at) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
  }
  std::uint64_t word(unsigned i, unsigned part) const { return load(first_ + i * k_field_words + part); }

  const capnp::word* first_ = nullptr;
  unsigned size_ = 0;
};

}  // namespace muproc::wire
