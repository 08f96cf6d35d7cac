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

/// The tag of a list of fields, the fields, and behind them their names and texts. `field(i)` is a NamedArgument; one
/// whose name has no data has none.
template <class FieldAt>
void write_fields(WordWriter& out, std::size_t count, const FieldAt& field) {
  out.word(wire::struct_pointer(static_cast<std::int64_t>(count), 3, 2));
  // Distances are in words, from behind the pointer that says them.
  std::size_t text_at = count * wire::k_field_words;
  std::size_t at = 0;
  const auto point_at_text = [&](std::string_view text, unsigned part) {
    out.word(wire::list_pointer(static_cast<std::int64_t>(text_at - (at + part + 1)), wire::k_bytes, text.size() + 1));
    text_at += wire::text_words(text);
  };
  for (std::size_t i = 0; i < count; ++i) {
    const auto& [name, key, value] = field(i);
    out.word(key);
    out.word(kind_word(value));
    out.word(value_word(value));
    if (name.data()) {
      point_at_text(name, wire::k_field_name);
    } else {
      out.word(0);
    }
    if (has_text(value)) {
      point_at_text(value.text(), wire::k_field_text);
    } else {
      out.word(0);
    }
    at += wire::k_field_words;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const auto& [name, key, value] = field(i);
    if (name.data()) out.text(name);
    if (has_text(value)) out.text(value.text());
  }
}

/// What an argument of a request, or an answer, is as a field.
struct Unnamed {
  std::string_view name;
  std::uint64_t key;
  const FieldArgument& value;
};

}  // namespace

void write_plain(std::byte* to, std::span<const NamedArgument> fields) {
  WordWriter out(to);
  out.word(wire::struct_pointer(0, 0, 1));
  out.word(wire::list_pointer(0, wire::k_inline_composite, fields.size() * wire::k_field_words));
  write_fields(out, fields.size(), [&](std::size_t i) -> const NamedArgument& { return fields[i]; });
}

void write_plain_request(std::byte* to, std::string_view name, std::uint64_t id, std::span<const FieldArgument> arguments) {
  std::size_t behind = 1 + arguments.size() * wire::k_field_words;  // the tag, the fields and their texts
  for (const FieldArgument& argument : arguments) behind += text_words(argument);
  WordWriter out(to);
  out.word(wire::struct_pointer(0, 1, 2));
  out.word(id);
  out.word(wire::list_pointer(1, wire::k_inline_composite, arguments.size() * wire::k_field_words));
  out.word(wire::list_pointer(static_cast<std::int64_t>(behind), wire::k_bytes, name.size() + 1));
  write_fields(out, arguments.size(),
               [&](std::size_t i) { return Unnamed{{}, argument_key(static_cast<unsigned>(i)), arguments[i]}; });
  out.text(name);
}

void write_plain_answer(std::byte* to, const FieldArgument& value) {
  WordWriter out(to);
  out.word(wire::struct_pointer(0, 0, 1));
  out.word(wire::list_pointer(0, wire::k_inline_composite, wire::k_field_words));
  write_fields(out, 1, [&](std::size_t) { return Unnamed{{}, argument_key(0), value}; });
}

}  // namespace muproc::detail
