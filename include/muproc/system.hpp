// Being the broker yourself: a system of muprocs, launched from your own program.
//
//     int main() {
//       muproc::System system{"counters", supervisor(one_for_one, {2, 5s}, {{"counter", counter}})};
//       return system.run();
//     }
//
// The program links muproc::broker. Functions of the program itself can be children: they run in clones of a process that
// was forked when `run` began. Everything that the program does before `run` is therefore there in its children, as it
// was at that moment; threads are not: other threads of the program go on, in the program alone, and a lock that one of
// them held at that moment stays held in the children. So best call `run` before starting threads.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <muproc/supervision.hpp>

namespace muproc {

struct SystemOptions {
  std::filesystem::path runtime_dir = {};  ///< where the system's folder lies; empty: as the environment says
  std::filesystem::path module_dir = {};   ///< where modules named without a slash are looked for first
  bool handle_signals = true;              ///< TERM and INT stop the system while it runs; a second INT kills it
  bool virtual_time = false;               ///< for tests: time stands still until it is advanced (testing.hpp)
  std::optional<LogLevel> log = {};        ///< the least that the broker's log tells; unset: what the config says, or info
  bool capture_output = false;             ///< what muprocs print goes, stamped, to files in the system's folder and to our own
                                           ///< output (docs/logging.md); else they print where we do. `mubroker` captures
};

/// A system: its broker, and all that it supervises. Erlang: a node with its application. cl-muproc: the Lisp image.
class System {
 public:
  /// From a supervision config (docs/config.md). Throws std::runtime_error with all that is wrong with it.
  explicit System(const std::filesystem::path& config, SystemOptions options = {});
  /// From a tree. Throws std::invalid_argument, naming the node, when it makes no sense.
  System(std::string name, Supervisor root, SystemOptions options = {});
  /// With nobody to begin with: for outsiders who attach, and what they spawn. Runs until it is told to stop.
  explicit System(std::string name, SystemOptions options = {});
  explicit System(const char* name, SystemOptions options = {}) : System(std::string(name), std::move(options)) {}
  ~System();
  System(const System&) = delete;
  System& operator=(const System&) = delete;

  /// Launches it, and returns when the last of its muprocs has gone: 0 when it ended in order, 1 when the root supervisor
  /// gave up or could not start. Once only. Throws std::runtime_error when it cannot be launched at all: a system of that
  /// name runs already, its folder cannot be written.
  int run();

  /// Ends it in order, as TERM does: `run` will return. May be called from any thread, from a signal handler, and before
  /// `run`; returns at once.
  void stop() noexcept;

  const std::string& name() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muproc
