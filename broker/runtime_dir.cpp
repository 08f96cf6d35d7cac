#include "broker/runtime_dir.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <utility>

#include <muproc/detail/names.hpp>

#include "shm/layout.hpp"
#include "sys/error.hpp"
#include "wire/control_socket.hpp"

namespace muproc::broker {
namespace fs = std::filesystem;
namespace {

bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool has_open(const fs::path& fds, const fs::path& file) {
  std::error_code unreadable;
  for (const auto& fd : fs::directory_iterator(fds, unreadable))
    if (fs::read_symlink(fd.path(), unreadable) == file) return true;
  return false;
}

pid_t recorded_pid(int lock) {
  char text[32]{};
  const ssize_t got = ::pread(lock, text, sizeof text - 1, 0);
  return got > 0 ? static_cast<pid_t>(std::strtol(text, nullptr, 10)) : 0;
}

std::string listing(const std::vector<pid_t>& processes) {
  std::string text;
  for (const pid_t process : processes) text += (text.empty() ? "" : ", ") + std::to_string(process);
  return text.empty() ? "unknown processes" : (processes.size() == 1 ? "process " : "processes ") + text;
}

}  // namespace

std::vector<pid_t> holders_of(const fs::path& file) {
  std::vector<pid_t> holders;
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator("/proc", ignored)) {
    const std::string name = process.path().filename();
    if (is_number(name) && has_open(process.path() / "fd", file)) holders.push_back(std::stoi(name));
  }
  return holders;
}

std::string why_no_system_name(std::string_view name) {
  if (name.empty()) return "a system needs a name";
  if (name.size() >= shm::k_name_size)
    return "a system's name has at most " + std::to_string(shm::k_name_size - 1) + " bytes";
  if (name.find('/') != name.npos || name.find('\0') != name.npos || name.front() == '.')
    return "\"" + std::string(name) + "\" cannot be a system's name: it names a folder, so it has no slash and no leading dot";
  return {};
}

fs::path runtime_base(const fs::path& given) { return fs::absolute(given.empty() ? wire::runtime_root() : given); }

RuntimeDir::RuntimeDir(const fs::path& base, const std::string& system, std::chrono::milliseconds patience,
                       const std::function<void(const std::string&)>& when_waiting) {
  if (const auto why = why_no_system_name(system); !why.empty()) throw std::invalid_argument(why);
  fs::create_directories(base.parent_path());
  make_folder(base);
  folder_ = fs::canonical(base) / system;
  make_folder(folder_);
  make_folder(folder_ / "logs");
  make_folder(folder_ / "crashes");
  lock_ = sys::UniqueFd(sys::check(::open((folder_ / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600), "open",
                                   (folder_ / "lock").native()));
  take_lock(system, patience, when_waiting);
}

RuntimeDir::~RuntimeDir() {
  ::unlink((folder_ / "control.sock").c_str());
  [[maybe_unused]] const int left = ::ftruncate(lock_.get(), 0);
}

void RuntimeDir::make_folder(const fs::path& path) const {
  if (::mkdir(path.c_str(), 0700) == 0) return;
  if (errno != EEXIST) sys::throw_errno("mkdir", path.native());
  struct stat status;
  sys::check(::lstat(path.c_str(), &status), "lstat", path.native());
  if (!S_ISDIR(status.st_mode)) throw std::runtime_error(path.native() + " is in the way: it is no directory");
  if (status.st_uid != ::geteuid() && status.st_uid != 0)
    throw std::runtime_error(path.native() + " belongs to another user (uid " + std::to_string(status.st_uid) + ")");
}

void RuntimeDir::take_lock(const std::string& system, std::chrono::milliseconds patience,
                           const std::function<void(const std::string&)>& when_waiting) {
  const auto give_up = std::chrono::steady_clock::now() + patience;
  bool has_said_so = false;
  const fs::path file = folder_ / "lock";
  while (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) sys::throw_errno("flock", file.native());
    auto holders = holders_of(file);
    const pid_t broker = recorded_pid(lock_.get());
    const bool is_running = std::find(holders.begin(), holders.end(), broker) != holders.end();
    if (is_running)
      throw std::runtime_error("the system \"" + system + "\" is running already: its broker is process " +
                               std::to_string(broker) + " (" + folder_.native() + ")");
    std::erase(holders, ::getpid());
    if (std::chrono::steady_clock::now() >= give_up)
      throw std::runtime_error("the system \"" + system + "\" has lost its broker, and its remains do not go: " +
                               file.native() + " is held by " + listing(holders));
    if (when_waiting && !std::exchange(has_said_so, true)) when_waiting(listing(holders));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));  // an flock cannot be waited for with a limit
  }
  const std::string own = std::to_string(::getpid()) + "\n";
  sys::check(::ftruncate(lock_.get(), 0), "ftruncate", file.native());
  sys::check(::pwrite(lock_.get(), own.data(), own.size(), 0), "write", file.native());
}

sys::UniqueFd RuntimeDir::listen() const {
  const fs::path path = folder_ / "control.sock";
  ::unlink(path.c_str());  // a predecessor's: ours is the lock
  sys::UniqueFd socket(sys::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof address.sun_path)
    throw std::runtime_error("the path " + path.native() + " is too long for a socket: set $" +
                             detail::k_runtime_dir_variable + " to a shorter one");
  std::memcpy(address.sun_path, path.c_str(), path.native().size());
  sys::check(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "bind", path.native());
  sys::check(::chmod(path.c_str(), 0600), "chmod", path.native());
  sys::check(::listen(socket.get(), 128), "listen", path.native());
  return socket;
}

}  // namespace muproc::broker
