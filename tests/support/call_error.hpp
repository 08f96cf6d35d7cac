// What a call that must fail throws.
#pragma once

#include <muproc/call_error.hpp>

#include "support/catch.hpp"

namespace muproc::test {

/// Runs it, and hands out the CallError that it throws; fails the test when there is none.
template <class Function>
CallError call_error(Function&& function) {
  try {
    function();
  } catch (const CallError& error) {
    return error;
  }
  FAIL("no CallError");
  throw 0;
}

}  // namespace muproc::test
