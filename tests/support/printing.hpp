// How Catch shows our values when an assertion fails.
#pragma once

#include <muproc/reason.hpp>
#include <muproc/value.hpp>

#include "support/catch.hpp"

namespace Catch {

template <>
struct StringMaker<muproc::Reason> {
  static std::string convert(const muproc::Reason& reason) { return to_string(reason); }
};
template <>
struct StringMaker<muproc::Value> {
  static std::string convert(const muproc::Value& value) { return to_string(value); }
};
template <>
struct StringMaker<muproc::Mumsg> {
  static std::string convert(const muproc::Mumsg& mumsg) { return to_string(mumsg); }
};
template <>
struct StringMaker<muproc::Symbol> {
  static std::string convert(const muproc::Symbol& symbol) { return symbol.name; }
};
template <>
struct StringMaker<muproc::Pid> {
  static std::string convert(muproc::Pid pid) { return to_string(pid); }
};

}  // namespace Catch
