// The policy's actions as the tests write them: "stop 1, start 0", "timer 1 40ms", "ended limit_reached".
#pragma once

#include <chrono>
#include <string>
#include <variant>

#include "broker/policy.hpp"

namespace muproc::broker {

struct ActionText {
  std::string operator()(StartChild a) const { return "start " + std::to_string(a.child); }
  std::string operator()(StopChild a) const { return "stop " + std::to_string(a.child); }
  std::string operator()(KillChild a) const { return "kill " + std::to_string(a.child); }
  std::string operator()(ArmTimer a) const { return "timer " + std::to_string(a.child) + ' ' + duration(a.delay); }
  std::string operator()(CancelTimer a) const { return "cancel " + std::to_string(a.child); }
  std::string operator()(ForgetChild a) const { return "forget " + std::to_string(a.child); }
  std::string operator()(Started) const { return "started"; }
  std::string operator()(StartFailed a) const { return "start failed " + std::to_string(a.child); }
  std::string operator()(Ended a) const { return "ended " + std::string(to_string(a.reason)); }

  static std::string duration(std::chrono::nanoseconds d) {
    using namespace std::chrono_literals;
    if (d % 1s == 0s) return std::to_string(d / 1s) + "s";
    if (d % 1ms == 0s) return std::to_string(d / 1ms) + "ms";
    return std::to_string(d.count()) + "ns";
  }
};

inline std::string text(const Actions& actions) {
  std::string joined;
  for (const Action& action : actions) joined += (joined.empty() ? "" : ", ") + std::visit(ActionText{}, action);
  return joined;
}

}  // namespace muproc::broker
