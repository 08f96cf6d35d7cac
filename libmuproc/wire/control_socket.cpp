#include "wire/control_socket.hpp"

#include <muproc/detail/names.hpp>
#include <muproc/self.hpp>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "sys/error.hpp"

namespace muproc::wire {
namespace {

/// A path that is too long for a socket address is reached through the folder's descriptor.
sys::UniqueFd try_connect(const std::filesystem::path& folder) {
  const std::string path = (folder / "control.sock").string();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw Error("the path " + path + " is too long for a socket: set $MUPROC_RUNTIME_DIR to a shorter one");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  sys::UniqueFd socket(sys::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
  return socket;
}

}  // namespace

std::filesystem::path runtime_root() {
  if (const char* set = std::getenv(detail::k_runtime_dir_variable); set && *set) return set;
  if (const char* set = std::getenv("XDG_RUNTIME_DIR"); set && *set) return std::filesystem::path(set) / "muproc";
  if (::getuid() == 0) return "/run/muproc";
  return "/tmp/muproc-" + std::to_string(::getuid());
}

std::vector<std::filesystem::path> system_folders() {
  std::vector<std::filesystem::path> folders;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(runtime_root(), ignored))
    if (std::filesystem::exists(entry.path() / "control.sock", ignored)) folders.push_back(entry.path());
  return folders;
}

std::filesystem::path find_system(std::string_view system) {
  if (system.empty())
    if (const char* set = std::getenv(detail::k_system_variable); set && *set) system = set;
  if (system.find('/') != std::string_view::npos) return system;
  if (!system.empty()) return runtime_root() / system;
  std::vector<std::filesystem::path> living;
  for (const auto& folder : system_folders())
    if (try_connect(folder)) living.push_back(folder);
  if (living.size() == 1) return living.front();
  if (living.empty()) throw NoSuchName("no system is running below " + runtime_root().string());
  std::string names;
  for (const auto& folder : living) (names += names.empty() ? "" : ", ") += folder.filename().string();
  throw NoSuchName("several systems are running, say which one: " + names);
}

sys::UniqueFd connect_control(const std::filesystem::path& folder) {
  if (auto socket = try_connect(folder)) return socket;
  const int error = errno;
  const std::string which = "system \"" + folder.filename().string() + "\" in " + folder.parent_path().string();
  if (error == EACCES || error == EPERM) throw NotPermitted(which + ": " + std::strerror(error));
  throw NoSuchName("no broker answers for " + which + ": " + std::strerror(error));
}

}  // namespace muproc::wire
