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
    case Value::Kind::list:
    case Value::Kind::mumsg:
    case Value::Kind::structure:
    case Value::Kind::reason: return;  // always owned
  }
}

/// How many words a message of these fields has, written word by word; 0 when one of them needs a builder.
inline std::size_t plain_words(std::span<const NamedArgument> fields) {
  std::size_t words = wire::k_words_before_fields + fields.size() * wire::k_field_words;
  for (const NamedArgument& field : fields) {
    if (field.value.owned() || field.value.kind() == Value::Kind::data) return 0;
    words += wire::text_words(field.name);
    if (field.value.kind() == Value::Kind::text || field.value.kind() == Value::Kind::symbol)
      words += wire::text_words(field.value.text());
  }
  return words;
}

/// Writes them: each word once and in order, as memory likes it that another core has read. `to` has `plain_words`.
void write_plain(std::byte* to, std::span<const NamedArgument> fields);

}  // namespace muproc::detail
