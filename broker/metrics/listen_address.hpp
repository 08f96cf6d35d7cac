// Where numbers are served: an address of this machine, as the config has it.
//
//     127.0.0.1:9464    [::1]:9464    localhost:9464    unix:/run/market/metrics.sock
//
// Names are not looked up, so that no config depends on a name server; `localhost` is 127.0.0.1. Port 0 lets the kernel
// choose one.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <string>
#include <string_view>

#include "sys/fd.hpp"

namespace muproc::broker {

struct ListenAddress {
  sockaddr_storage address{};
  socklen_t size = 0;
  std::string path;          // of a Unix socket; else empty
  bool is_loopback = false;  // only this machine reaches it; a Unix socket is

  bool is_unix() const { return !path.empty(); }
};

/// False, with what is wrong in `why_not`, when it is none.
bool parse_listen_address(std::string_view text, ListenAddress& address, std::string& why_not);

/// A socket that listens there, non-blocking. A Unix socket that nobody listens at any more is replaced, and only its owner
/// and root may use it. Throws std::system_error.
sys::UniqueFd listen_at(const ListenAddress& address);

/// "http://127.0.0.1:9464/" with the port that it has got, or "unix:/path".
std::string url_of(const ListenAddress& address, int socket);

}  // namespace muproc::broker
