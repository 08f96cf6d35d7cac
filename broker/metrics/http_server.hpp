// A small HTTP server on the broker's loop, for what is read and never written: `GET` and `HEAD` of three pages.
//
// Whoever connects cannot hold the broker up. Nothing here waits: KJ reads and writes as the sockets allow. There are at most
// k_connections at a time, and a further one ends the oldest; a connection ends with its answer, after k_life whatever it does,
// and earlier when its request does not come; headers have KJ's limit of 64 KiB, and bodies are not read. So a client that sends or reads
// slowly, or thousands of them, cost a bounded number of descriptors and a bounded amount of memory, and the rest of the system
// nothing.
//
// A page of another site, in a browser of this machine, reaches loopback addresses too. It cannot read what is answered (no
// CORS headers), and a name of that site which it lets point here is refused by the Host header.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "broker/log.hpp"
#include "broker/loop.hpp"
#include "sys/fd.hpp"

namespace muproc::broker {

class HttpServer {
 public:
  static constexpr std::size_t k_connections = 16;
  static constexpr std::chrono::seconds k_life{30};
  static constexpr std::chrono::seconds k_request_time{5};

  struct Pages {
    std::function<std::shared_ptr<const std::string>()> metrics, status;
  };

  /// `socket` listens. `only_local_names`: requests for other hosts than this machine are refused.
  HttpServer(Loop& loop, Log& log, sys::UniqueFd socket, bool only_local_names, Pages pages);
  /// Ends all connections.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

/// True for what a browser of this machine calls it: localhost, and loopback addresses, with or without a port.
bool is_local_host(std::string_view host);

}  // namespace muproc::broker
