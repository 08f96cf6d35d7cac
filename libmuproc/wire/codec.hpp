// Owned values to and from their Cap'n Proto form. Reading checks what it reads: a kind that this version does not know
// becomes nil, nesting is limited by the message reader, and whatever is malformed throws kj::Exception. Writing throws
// ValueError for what is nested more deeply than anybody would read.
#pragma once

#include <muproc/reason.hpp>
#include <muproc/value.hpp>

#include "wire/mumsg.capnp.h"

namespace muproc::wire {

void write(Field::Builder to, const Value& value);
void write_named(Field::Builder to, std::string_view name, const Value& value);
void write(Mumsg::Builder to, const muproc::Mumsg& mumsg);
void write(Reason::Builder to, const muproc::Reason& reason);

Value read(Field::Reader from);
muproc::Mumsg read_fields(capnp::List<Field>::Reader from);
muproc::Mumsg read(Mumsg::Reader from);
muproc::Reason read(Reason::Reader from);

inline std::string_view view(capnp::Text::Reader text) { return {text.begin(), text.size()}; }
inline std::string string(capnp::Text::Reader text) { return {text.begin(), text.size()}; }
inline kj::StringPtr pointer(const std::string& text) { return kj::StringPtr(text.c_str(), text.size()); }

}  // namespace muproc::wire
