// The system that is measured: a broker in a process of its own, an exec of this very program, so that it shares nothing
// with the benchmark but its code; and the benchmark itself, attached to it.
#pragma once

#include <muproc/muproc.hpp>

#include <filesystem>
#include <optional>
#include <string>

#include "bench/row.hpp"

namespace muproc::bench {

class Live {
 public:
  explicit Live(Cores cores);
  ~Live();
  Live(const Live&) = delete;
  Live& operator=(const Live&) = delete;

  Self& self() { return **attachment_; }
  Cores cores() const { return cores_; }
  int broker_os_pid() const { return broker_; }
  std::string fresh_name(const std::string& prefix) { return prefix + '-' + std::to_string(++names_); }
  /// OS pid of a living muproc.
  int os_pid(Pid pid);

  /// Spawns a muproc that runs on a core; what else it needs to know goes into its arguments.
  Pid spawn(const std::string& name, Function function, unsigned core, Mumsg args = {});
  /// Spawns one that measures and then tells what it has measured (`tell`).
  Round measured_by(Function function, unsigned core, Mumsg args = {});

 private:
  Cores cores_;
  std::filesystem::path folder_;
  int broker_ = 0;
  int names_ = 0;
  std::optional<Attachment> attachment_;
};

/// In a muproc that was spawned here: goes to its core.
void settle(Self& self);
/// Tells the benchmark what was measured.
void tell(Self& self, const Round& round);

/// What the program does when it is the broker: `mubench --serve`.
int serve();

RowPtr make_rtt_typed(Live& live);
RowPtr make_rtt_mumsg(Live& live);
RowPtr make_stream_typed(Live& live);
RowPtr make_restart_zygote(Live& live);
RowPtr make_memory_idle(Live& live);
RowPtr make_cpu_idle(Live& live);
RowPtr make_memory_14(Live& live);

}  // namespace muproc::bench
