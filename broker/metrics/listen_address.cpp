#include "broker/metrics/listen_address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "sys/error.hpp"

namespace muproc::broker {
namespace {

constexpr std::string_view k_unix = "unix:";
constexpr int k_backlog = 16;

template <class Address>
Address& as(ListenAddress& address) {
  address.size = sizeof(Address);
  return reinterpret_cast<Address&>(address.address);
}

bool parse_port(std::string_view text, std::uint16_t& port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool parse_unix(std::string_view path, ListenAddress& address, std::string& why_not) {
  auto& name = as<sockaddr_un>(address);
  if (path.empty() || path.size() >= sizeof name.sun_path || path.find('\0') != path.npos) {
    why_not = fmt::format("the path of a Unix socket has 1 to {} bytes", sizeof name.sun_path - 1);
    return false;
  }
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, path.size());
  address.path = path;
  address.is_loopback = true;
  return true;
}

/// There is a socket file, and nobody behind it: left by a broker that was killed.
bool is_stale(const ListenAddress& address) {
  struct stat status {};
  if (::lstat(address.path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;
  const sys::UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return probe && ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address.address), address.size) != 0 && errno == ECONNREFUSED;
}

}  // namespace

bool parse_listen_address(std::string_view text, ListenAddress& address, std::string& why_not) {
  address = {};
  if (text.starts_with(k_unix)) return parse_unix(text.substr(k_unix.size()), address, why_not);
  why_not = R"(it must be an address and a port such as "127.0.0.1:9464" or "[::1]:9464", or "unix:/path")";
  const auto colon = text.rfind(':');
  std::uint16_t port = 0;
  if (colon == text.npos || !parse_port(text.substr(colon + 1), port)) return false;
  std::string host(text.substr(0, colon));
  if (host == "localhost") host = "127.0.0.1";
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    auto& six = as<sockaddr_in6>(address);
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    if (::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &six.sin6_addr) != 1) return false;
    address.is_loopback = IN6_IS_ADDR_LOOPBACK(&six.sin6_addr);
    return true;
  }
  auto& four = as<sockaddr_in>(address);
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  if (::inet_pton(AF_INET, host.c_str(), &four.sin_addr) != 1) return false;
  address.is_loopback = (ntohl(four.sin_addr.s_addr) >> 24) == 127;
  return true;
}

sys::UniqueFd listen_at(const ListenAddress& address) {
  sys::UniqueFd socket(sys::check(::socket(address.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
  if (address.is_unix()) {
    if (is_stale(address)) ::unlink(address.path.c_str());
    // Before there is a file: fchmod on the socket is what its file begins with.
    sys::check(::fchmod(socket.get(), S_IRUSR | S_IWUSR), "fchmod", address.path.c_str());
  } else {
    const int yes = 1;  // what an earlier broker's connections have left waiting does not count
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  }
  sys::check(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address.address), address.size), "bind");
  sys::check(::listen(socket.get(), k_backlog), "listen");
  return socket;
}

std::string url_of(const ListenAddress& address, int socket) {
  if (address.is_unix()) return std::string(k_unix) + address.path;
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &size);
  char host[INET6_ADDRSTRLEN] = "?";
  if (bound.ss_family == AF_INET6) {
    const auto& six = reinterpret_cast<const sockaddr_in6&>(bound);
    ::inet_ntop(AF_INET6, &six.sin6_addr, host, sizeof host);
    return fmt::format("http://[{}]:{}/", host, ntohs(six.sin6_port));
  }
  const auto& four = reinterpret_cast<const sockaddr_in&>(bound);
  ::inet_ntop(AF_INET, &four.sin_addr, host, sizeof host);
  return fmt::format("http://{}:{}/", host, ntohs(four.sin_port));
}

}  // namespace muproc::broker
