// What a call throws when it brings no value.
#pragma once

#include <chrono>
#include <string>
#include <utility>

#include <muproc/reason.hpp>
#include <muproc/self.hpp>

namespace muproc {

/// A call that brought no value.
struct CallError : Error {
  enum class Kind {
    noproc,   ///< nobody is there
    timeout,  ///< no answer in time; one that comes later never reaches the mailbox
    down,     ///< who was to answer ended before it did: `reason`
    error,    ///< the server's handler threw, or knows no such call: `reason` is exception{type, what}
  };
  CallError(Kind call_kind, const std::string& text, Reason why)
      : Error(text), kind(call_kind), reason(std::move(why)) {}
  Kind kind;
  Reason reason;
};

/// How long a call waits that says nothing else. Erlang: gen_server:call/2.
inline constexpr std::chrono::seconds k_call_timeout{5};

}  // namespace muproc
