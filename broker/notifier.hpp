// What the broker tells the service manager that started it: systemd's notification protocol, sd_notify(3).
//
// The manager names a datagram socket in $NOTIFY_SOCKET, a path or, beginning with '@', an abstract name, and learns there
// that the system is up (READY=1), what it does (STATUS=), that it ends (STOPPING=1), and that it still lives, where it
// asks for that ($WATCHDOG_USEC). Without such a variable nothing is told. The variables are taken out of the environment:
// they are meant for the broker, not for what it starts.
//
// Nothing here blocks or throws: a manager that does not listen misses something, the system does not.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "broker/loop.hpp"
#include "sys/fd.hpp"

namespace muproc::broker {

class Notifier {
 public:
  /// Tells nobody.
  Notifier() = default;
  /// Takes the variables.
  static Notifier from_environment();

  void ready(std::string_view status) const { tell("READY=1", status); }
  void status(std::string_view status) const { tell({}, status); }
  void stopping(std::string_view status) const { tell("STOPPING=1", status); }
  /// A reload has begun; `ready` says that it is over.
  void reloading(std::string_view status) const;
  /// From now on, as often as the manager asks for.
  void keep_alive(Loop& loop);
  /// No longer: before the loop ends.
  void rest() { alive_.stop(); alive_ = {}; }

 private:
  void tell(std::string_view state, std::string_view status) const;
  void send(const std::string& text) const noexcept;

  sys::UniqueFd socket_;
  std::string address_;  // as a sockaddr_un
  std::chrono::microseconds watchdog_{0};
  Watch alive_;
};

}  // namespace muproc::broker
