// The broker's side of cloning: which zygote has which code, and what was asked of it.
//
// A zygote is made when its module is first needed, by the seed, and stays. Several requests may wait for it to load.
// Every request is answered once: with the OS pid of a child of ours, which may be dead by then, or with an error. When a
// zygote dies, what was asked of it is answered with an error that says so (`zygote_died`: worth another try), and a
// child that it has cloned but not told us of is found and ended (it waits for its `go` in vain). The children that are known live on.
//
// If the seed dies, another one is forked: from a process that is no longer as pristine, but in which only the calling
// thread goes on. Where that fails (there are too many processes or open files) it is tried again and again.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/fork_server.hpp"
#include "broker/log.hpp"
#include "broker/loop.hpp"
#include "broker/plan.hpp"

namespace muproc::broker {

/// What a child gets: descriptors, each duplicated, or -1; and the control group in which it begins, or none.
struct ChildPlace {
  int control = -1, out = -1, err = -1;
  std::string cgroup = {};
  bool cgroup_holds_memory = false;
};

struct Cloned {
  int os_pid = 0;     // 0: it failed
  std::string error;
  bool zygote_died = false;
  int cloned_by = 0;  // the OS pid of the zygote, or of the seed
};
using WhenCloned = std::function<void(Cloned)>;

class Zygotes {
 public:
  struct Settings {
    int lock = -1;
    rlimit files{};  // for children
    std::string token;  // of marks
    std::string cgroup; // the system's own
    std::vector<std::filesystem::path> module_dirs;  // where modules named without a slash are looked for
  };

  Zygotes(Loop& loop, Log& log, SeedProcess seed, Settings settings);
  ~Zygotes();

  /// Clones a child that runs this module entry or function.
  void clone_code(const PlannedCode& code, const ChildPlace& place, WhenCloned done);
  /// Clones a child that execs. `status` hears of a failing exec (exec_child.hpp); no `control` for a plain program.
  void clone_program(const Plan& plan, const std::vector<std::pair<std::string, std::string>>& environment, int status,
                     const ChildPlace& place, WhenCloned done);
  /// What has waited too long for its module: kills the zygote if it is still loading and nobody else waits for it.
  void give_up_loading(const PlannedCode& code);

  /// True when a zygote has loaded this module from a file that is another one by now, as far as its place and its times
  /// tell.
  bool has_changed(const std::string& module) const;
  /// The next child with that module comes from a new zygote. The old one stays for those that it has cloned.
  void renew(const std::string& module);
  /// Ends those zygotes of the past for which `has_children(its OS pid)` says no.
  void end_the_old(const std::function<bool(int os_pid)>& has_children);

  /// Ends seed and zygotes. Nothing is answered after this.
  void stop();
  /// The sessions in which all that comes from our seeds lives.
  const std::vector<int>& sessions() const { return sessions_; }
  bool has_session(int session) const;
  /// No clone is under way.
  bool is_quiet() const;
  bool is_ours(int os_pid) const;
  /// Whether a zygote has that code, of a module, loaded.
  bool is_loaded(const PlannedCode& code) const;

  /// Asked to find and end children that nobody knows of: after a zygote has died, when no clone is under way any more
  /// whose child could be taken for one.
  std::function<void()> end_strays = [] {};
  /// Asked to kill and reap a zygote or seed that cannot be watched.
  std::function<void(int os_pid)> end_stray = [](int) {};
  /// Told of each zygote from which nothing more will come: it has ended, or its module has changed.
  std::function<void(int os_pid)> is_past = [](int) {};

 private:
  struct Server;
  using ServerPtr = std::shared_ptr<Server>;

  ServerPtr adopt(std::string module, int os_pid, sys::UniqueFd socket, bool is_loaded);
  void watch_death(const ServerPtr& server, int os_pid);
  ServerPtr zygote_for(const std::string& module);
  void zygote_cloned(const ServerPtr& zygote, const Cloned& cloned);
  void tell(const WhenCloned& done, Cloned answer) noexcept;
  void answer(Server& server, std::uint64_t id, Cloned answer);
  void answer_waiting(Server& server, const Cloned& answer);
  ServerPtr zygote_knowing(const FunctionCode& function) const;
  void clone_function(const FunctionCode& function, const ChildPlace& place, WhenCloned done);
  void ask(Server& server, capnp::MessageBuilder& message, std::initializer_list<int> fds, WhenCloned done);
  void ask_for_child(Server& server, capnp::MessageBuilder& message, const ChildPlace& place, WhenCloned done);
  void flush_later(Server& server);
  void read_from(const ServerPtr& server);
  void hear_loaded(Server& server, wire::Loaded::Reader loaded);
  void ended(const ServerPtr& server);
  void forget(const Server& server);
  void look_for_strays_if_quiet();
  void respawn_seed() noexcept;
  std::string find_module(const std::string& module) const;
  /// The module that has the code of an entry or a function; empty: the program that runs the broker.
  std::string module_of(const PlannedCode& code) const;

  Loop& loop_;
  Log& log_;
  Settings settings_;
  ServerPtr seed_;
  std::vector<ServerPtr> old_;                // zygotes of modules that have changed since
  std::map<std::string, ServerPtr> zygotes_;  // by module path; "" is the broker's own image
  std::vector<ServerPtr> all_;                // until they are reaped
  std::vector<int> sessions_;
  std::uint64_t last_id_ = 0;
  Watch another_seed_;
  bool stopping_ = false, may_have_strays_ = false;
};

/// `waitid`'s answer in words, for processes that are no muprocs: "signal SIGSEGV", "exit code 1".
std::string reap_in_words(int pidfd);

}  // namespace muproc::broker
