#include "broker/notifier.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace muproc::broker {
namespace {

/// Empty when there is none, or none of a kind that we know.
std::string take_variable(const char* name) {
  const char* value = std::getenv(name);
  std::string taken = value ? value : "";
  ::unsetenv(name);
  return taken;
}

/// The bytes of a sockaddr_un.
std::string address_of(const std::string& name) {
  sockaddr_un address{};
  const bool is_abstract = name.starts_with('@');
  if (name.size() < 2 || name.size() >= sizeof address.sun_path || !(is_abstract || name.starts_with('/'))) return {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.data(), name.size());
  if (is_abstract) address.sun_path[0] = '\0';
  const std::size_t size = offsetof(sockaddr_un, sun_path) + name.size() + (is_abstract ? 0 : 1);
  return {reinterpret_cast<const char*>(&address), size};
}

}  // namespace

Notifier Notifier::from_environment() {
  Notifier notifier;
  notifier.address_ = address_of(take_variable("NOTIFY_SOCKET"));
  const std::string pid = take_variable("WATCHDOG_PID");
  const std::string period = take_variable("WATCHDOG_USEC");
  if (notifier.address_.empty()) return notifier;
  notifier.socket_ = sys::UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  std::uint64_t usec = 0;
  std::from_chars(period.data(), period.data() + period.size(), usec);
  const bool is_ours = pid.empty() || pid == std::to_string(::getpid());
  if (is_ours && usec < 1'000'000'000'000) notifier.watchdog_ = std::chrono::microseconds(usec);
  return notifier;
}

void Notifier::reloading(std::string_view status) const {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const auto usec = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
  tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(usec), status);
}

void Notifier::keep_alive(Loop& loop) {
  if (!socket_ || watchdog_.count() == 0) return;
  send("WATCHDOG=1");
  alive_ = loop.after(watchdog_ / 2, [this, &loop] { keep_alive(loop); });
}

void Notifier::tell(std::string_view state, std::string_view status) const {
  std::string text(state);
  if (!text.empty()) text += '\n';
  text.append("STATUS=").append(status);
  send(text);
}

void Notifier::send(const std::string& text) const noexcept {
  if (!socket_) return;
  [[maybe_unused]] const ssize_t told =
      ::sendto(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(address_.data()),
               static_cast<socklen_t>(address_.size()));
}

}  // namespace muproc::broker
