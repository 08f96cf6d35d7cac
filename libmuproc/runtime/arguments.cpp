#include "runtime/arguments.hpp"

namespace muproc::detail {
namespace {

class WordWriter {
 public:
  explicit WordWriter(std::byte* to) : to_(to) {}

  void word(std::uint64_t word) {
    std::memcpy(to_, &word, sizeof word);
    to_ += sizeof word;
  }
  /// With a NUL, up to a whole word.
  void text(std::string_view text) {
    for (; text.size() >= 8; text.remove_prefix(8)) {
      std::memcpy(to_, text.data(), 8);
      to_ += 8;
    }
    std::uint64_t last = 0;
    for (std::size_t i = 0; i < text.size(); ++i)
      last |= static_cast<std::uint64_t>(static_cast<unsigned char>(text[i])) << 8 * i;
    word(last);
  }

 private:
  std::byte* to_;
};

/// The union's tag and, of a boolean, its bit.
std::uint64_t kind_word(const FieldArgument& value) {
  switch (value.kind()) {
    case Value::Kind::boolean:
      return wire::Field::BOOLEAN | static_cast<std::uint64_t>(value.boolean()) << wire::k_boolean_bit;
    case Value::Kind::integer: return wire::Field::INTEGER;
    case Value::Kind::real: return wire::Field::REAL;
    case Value::Kind::symbol: return wire::Field::SYMBOL;
    case Value::Kind::text: return wire::Field::TEXT;
    case Value::Kind::pid: return wire::Field::PID;
    default: return wire::Field::NIL;
  }
}

std::uint64_t value_word(const FieldArgument& value) {
  switch (value.kind()) {
    case Value::Kind::integer: return static_cast<std::uint64_t>(value.integer());
    case Value::Kind::real: return std::bit_cast<std::uint64_t>(value.real());
    case Value::Kind::pid: return value.bits();
    default: return 0;
  }
}

bool has_text(const FieldArgument& value) {
  return value.kind() == Value::Kind::text || value.kind() == Value::Kind::symbol;
}

}  // namespace

void write_plain(std::byte* to, std::span<const NamedArgument> fields) {
  WordWriter out(to);
  out.word(wire::struct_pointer(0, 0, 1));
  out.word(wire::list_pointer(0, wire::k_inline_composite, fields.size() * wire::k_field_words));
  out.word(wire::struct_pointer(static_cast<std::int64_t>(fields.size()), 3, 2));
  // Names and texts lie behind all fields. Distances are in words, from behind the pointer that says them.
  std::size_t text_at = fields.size() * wire::k_field_words;
  std::size_t at = 0;
  const auto point_at_text = [&](std::string_view text, unsigned part) {
    out.word(wire::list_pointer(static_cast<std::int64_t>(text_at - (at + part + 1)), wire::k_bytes, text.size() + 1));
    text_at += wire::text_words(text);
  };
  for (const NamedArgument& field : fields) {
    out.word(field.key);
    out.word(kind_word(field.value));
    out.word(value_word(field.value));
    point_at_text(field.name, wire::k_field_name);
    if (has_text(field.value)) {
      point_at_text(field.value.text(), wire::k_field_text);
    } else {
      out.word(0);
    }
    at += wire::k_field_words;
  }
  for (const NamedArgument& field : fields) {
    out.text(field.name);
    if (has_text(field.value)) out.text(field.value.text());
  }
}

}  // namespace muproc::detail
