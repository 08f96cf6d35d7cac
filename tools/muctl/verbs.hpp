// What muctl can do: a function for each verb. It returns what is to be printed, each line with its newline, and throws
// Failure when it could not do it.
//
// ps, tree and show only ask. kill, exit, start, stop, restart and shutdown tell the broker to do something. send and call
// join the system as a temporary muproc, since messages go from muproc to muproc, not through the broker.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "tools/common/broker_client.hpp"

namespace muproc::tools {

/// What stands before the verb, or belongs to many.
struct Context {
  std::string system;  // empty: the one that runs
  bool json = false;
  Patience timeout;  // --timeout, when it was given

  /// For what should take no time.
  std::chrono::nanoseconds short_patience() const {
    return std::min<std::chrono::nanoseconds>(timeout.value_or(k_book_patience), k_book_patience);
  }
  BrokerClient broker() const { return BrokerClient(system, short_patience()); }
};

std::string ps(const Context& context);
std::string tree(const Context& context);
std::string show(const Context& context, const std::string& name);

std::string kill(const Context& context, const std::string& name);
/// `reason` is a value as in key_value.hpp; the words normal and shutdown are the reasons of these names.
std::string exit(const Context& context, const std::string& name, const std::string& reason);
std::string child_verb(const Context& context, const std::string& name, wire::ChildVerb::Verb verb);
/// `wait`: returns when the broker has ended.
std::string shut_down(const Context& context, bool wait);

std::string send(const Context& context, const std::string& name, const std::vector<std::string>& fields);
/// Waits for the first message from whom it was sent to; for 5 s, unless the context says otherwise.
std::string call(const Context& context, const std::string& name, const std::vector<std::string>& fields);

}  // namespace muproc::tools
