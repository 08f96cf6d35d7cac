// Writing the arguments of a send or a call, straight from the caller's variables. Inline: every message passes here.
#pragma once

#include <muproc/self.hpp>

#include <bit>
#include <cstring>
#include <span>
#include <string_view>

#include "wire/codec.hpp"
#include "wire/field_words.hpp"

namespace muproc::detail {

/// Text as Cap'n Proto has it, from bytes that need not end in NUL. `init(size)` gives the builder.
template <class Init>
void put(Init init, std::string_view from) {
  auto to = init(static_cast<unsigned>(from.size()));
  if (!from.empty()) std::memcpy(to.begin(), from.data(), from.size());
}

inline void write(wire::Field::Builder to, const FieldArgument& value) {
  if (const Value* owned = value.owned()) return wire::write(to, *owned);
  switch (value.kind()) {
    case Value::Kind::nil: to.setNil(); return;
    case Value::Kind::boolean: to.setBoolean(value.boolean()); return;
    case Value::Kind::integer: to.setInteger(value.integer()); return;
    case Value::Kind::real: to.setReal(value.real()); return;
    case Value::Kind::pid: to.setPid(value.bits()); return;
    case Value::Kind::text: put([&](unsigned size) { return to.initText(size); }, value.text()); return;
    case Value::Kind::symbol: put([&](unsigned size) { return to.initSymbol(size); }, value.text()); return;
    case Value::Kind::data: put([&](unsigned size) { return to.initData(size); }, value.text()); return;
    case Value::Kind::structure: {
      auto structure = to.initStructure();
      structure.setTypeId(value.structure().type_id);
      value.structure().write(value.structure().context, structure.getContents());
      return;
    }
    case Value::Kind::list:
    case Value::Kind::mumsg:
    case Value::Kind::reason: return;  // always owned
  }
}

/// A whole mumsg of them.
inline void write(wire::Mumsg::Builder to, std::span<const NamedArgument> fields) {
  auto list = to.initFields(static_cast<unsigned>(fields.size()));
  for (unsigned i = 0; i < fields.size(); ++i) {
    list[i].setKey(fields[i].key);
    put([&](unsigned size) { return list[i].initName(size); }, fields[i].name);
    write(list[i], fields[i].value);
  }
}

// Messages of plain values are written word by word, each word once and in order, as memory likes it that another core
// has read. `…_words` is how many words they have, or 0 when a value of them needs a builder; `to` has so many.

inline bool is_plain(const FieldArgument& value) {
  return !value.owned() && value.kind() != Value::Kind::data && value.kind() != Value::Kind::structure;
}
inline bool has_text(const FieldArgument& value) {
  return value.kind() == Value::Kind::text || value.kind() == Value::Kind::symbol;
}
inline std::size_t text_words(const FieldArgument& value) { return has_text(value) ? wire::text_words(value.text()) : 0; }

inline std::size_t plain_words(std::span<const NamedArgument> fields) {
  std::size_t words = wire::k_words_before_fields + fields.size() * wire::k_field_words;
  for (const NamedArgument& field : fields) {
    if (!is_plain(field.value)) return 0;
    words += wire::text_words(field.name) + text_words(field.value);
  }
  return words;
}
void write_plain(std::byte* to, std::span<const NamedArgument> fields);

/// A wire::Request. Its arguments have keys, and no names.
inline std::size_t plain_request_words(std::string_view name, std::span<const FieldArgument> arguments) {
  std::size_t words = wire::k_words_before_arguments + arguments.size() * wire::k_field_words + wire::text_words(name);
  for (const FieldArgument& argument : arguments) {
    if (!is_plain(argument)) return 0;
    words += text_words(argument);
  }
  return words;
}
void write_plain_request(std::byte* to, std::string_view name, std::uint64_t id, std::span<const FieldArgument> arguments);

/// The answer to one: a mumsg of one field without a name.
inline std::size_t plain_answer_words(const FieldArgument& value) {
  return is_plain(value) ? wire::k_words_before_fields + wire::k_field_words + text_words(value) : 0;
}
void write_plain_answer(std::byte* to, const FieldArgument& value);

/// The key of an argument without a name; an answer's is that of the first.
constexpr std::uint64_t argument_key(unsigned index) { return index + 1; }

}  // namespace muproc::detail
