// Writing the arguments of a send or a call, straight from the caller's variables. Inline: every message passes here.
#pragma once

#include <muproc/self.hpp>

#include <cstring>
#include <string_view>

#include "wire/codec.hpp"

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

}  // namespace muproc::detail
