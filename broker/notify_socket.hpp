// Where a plain program says how it is: READY=1, WATCHDOG=1, STATUS=…, in the protocol of systemd's sd_notify.
//
// Each child that is to say something has a socket of its own, in the abstract namespace and named by the kernel, so that
// a child of another user reaches it too. The kernel stamps each datagram with its sender: only a process of the child's
// own process group is heard. What others write there is dropped, and so is what is no text.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "broker/loop.hpp"
#include "sys/fd.hpp"

namespace muproc::broker {

class NotifySocket {
 public:
  /// `said(key, value)` for each line that the child says. Throws std::system_error.
  NotifySocket(Loop& loop, std::function<void(std::string_view key, std::string_view value)> said);

  /// What stands in NOTIFY_SOCKET: "@" and the name.
  const std::string& address() const { return address_; }
  /// Whose word counts, once it is known. What was said before has waited in the socket.
  void listen_to(int os_pid);
  /// Hears what is there now. The child's death must not overtake its last words.
  void read_all();

 private:
  Loop& loop_;
  sys::UniqueFd socket_;
  std::function<void(std::string_view, std::string_view)> said_;
  std::string address_;
  int os_pid_ = 0;
  Watch reading_;
};

/// Calls `said` for each KEY=VALUE line of a datagram.
void for_each_line(std::string_view datagram, const std::function<void(std::string_view key, std::string_view value)>& said);

}  // namespace muproc::broker
