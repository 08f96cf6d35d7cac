// A system's folder: where its control socket, its lock and its logs lie, and the proof that it runs only once.
//
// The lock is an flock on the file `lock`, which also holds the broker's OS pid. It belongs to the open file, which the
// seed and the zygotes inherit and muprocs do not: so when a broker is killed, the lock stays taken until the last of its
// zygotes has seen to it that no muproc is left, and a fresh broker finds a clean house.
//
// If we die at any line: the folder and its files stay, the lock is free as soon as nobody is left, and the next broker
// of that name takes the folder over.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "sys/fd.hpp"

namespace muproc::broker {

/// Where the folders of all systems lie: `given`, if it is not empty; else $MUPROC_RUNTIME_DIR, $XDG_RUNTIME_DIR/muproc,
/// /run/muproc for root, /tmp/muproc-<uid>.
std::filesystem::path runtime_base(const std::filesystem::path& given = {});

/// Empty when `name` can be a system's name, else what is wrong with it.
std::string why_no_system_name(std::string_view name);

class RuntimeDir {
 public:
  /// Makes or takes over the folder, and the lock. When a broker of that name runs, throws std::runtime_error that says
  /// so at once; when only the remains of one are there, says so and waits for them to go, for `patience` at most.
  RuntimeDir(const std::filesystem::path& base, const std::string& system,
             std::chrono::milliseconds patience = std::chrono::seconds(10),
             const std::function<void(const std::string& holders)>& when_waiting = {});
  /// Removes the socket and the lock's content. The logs stay.
  ~RuntimeDir();
  RuntimeDir(const RuntimeDir&) = delete;
  RuntimeDir& operator=(const RuntimeDir&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path log_file() const { return folder_ / "logs" / "broker.log"; }
  /// To be inherited by the seed.
  int lock_fd() const { return lock_.get(); }
  /// Binds control.sock: a non-blocking listening socket.
  sys::UniqueFd listen() const;

 private:
  void make_folder(const std::filesystem::path& path) const;
  void take_lock(const std::string& system, std::chrono::milliseconds patience,
                 const std::function<void(const std::string&)>& when_waiting);

  std::filesystem::path folder_;
  sys::UniqueFd lock_;
};

/// The OS pids of all processes that have `file` open, as far as we may see.
std::vector<pid_t> holders_of(const std::filesystem::path& file);

}  // namespace muproc::broker
