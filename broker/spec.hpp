// What a system is: its name, its supervisors, its muprocs. Plain values, made by the config or by the API.
//
// A `SystemSpec` is flat: nodes are named, and a supervisor lists its children by name, in start order. Whoever hands
// one to the broker has made sure that it is a tree (every name is unique and defined, every node but the root has
// exactly one parent): the config reports what is not, and `flatten` throws.
//
// Paths are absolute here, but for a module or a program named without a slash, which is searched for where the
// launcher looks for modules, or in PATH.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <muproc/supervision.hpp>
#include <muproc/system.hpp>

namespace muproc::broker {

/// A muproc: a `[muproc.NAME]` of the config.
struct ChildSpec : ChildOptions {
  std::string name;
  Code code;
};

/// A supervisor: a `[supervisor.NAME]` of the config. The inherited options are what it is to its own supervisor; for
/// the root they mean nothing.
struct SupervisorSpec : SupervisorOptions {
  std::string name;
  Strategy strategy = Strategy::one_for_one;
  Limit limit;
  AutoShutdown auto_shutdown = AutoShutdown::never;
  std::vector<std::string> children;  ///< names of supervisors and muprocs, in start order
};

/// What becomes of what muprocs print, where they do not say otherwise.
struct LogSettings {
  bool is_captured = false;  ///< else it goes where ours goes
  bool on_console = true;    ///< it is shown on our own output too
  LogFormat format = LogFormat::text;
  Bytes file_size = Bytes::mib(16);
  std::uint32_t files = 5;   ///< kept of each muproc, and of the broker's own log

  friend bool operator==(const LogSettings&, const LogSettings&) = default;
};

/// Where the system's numbers can be asked for over HTTP.
struct MetricsAddress {
  std::string text;        ///< "127.0.0.1:9464", "[::1]:9464" or "unix:/path"; empty: nowhere
  bool is_public = false;  ///< it may be an address that other machines reach

  friend bool operator==(const MetricsAddress&, const MetricsAddress&) = default;
};

/// Variables of a config, as `--set` gives them.
using Settings = std::map<std::string, std::string, std::less<>>;

struct SystemSpec {
  std::string name;
  LogLevel log = LogLevel::info;      ///< of the broker's own log
  LogSettings logs;
  std::string cgroup;                 ///< "auto", "none" or a folder; empty: as the environment says ($MUPROC_CGROUP), else "auto"
  std::uint32_t crash_reports = 100;  ///< so many are kept; 0: none is written
  MetricsAddress metrics;
  std::filesystem::path runtime_dir;  ///< empty: as the environment says ($MUPROC_RUNTIME_DIR and so on)
  std::filesystem::path config_dir;   ///< where bare module names are looked for first; empty: nowhere
  std::filesystem::path config_file;  ///< what it was read from; empty: no file
  Settings settings;                  ///< what variables in that file stand for, before the environment
  std::string root;                   ///< the root supervisor's name

  std::map<std::string, SupervisorSpec, std::less<>> supervisors;
  std::map<std::string, ChildSpec, std::less<>> muprocs;

  [[nodiscard]] const SupervisorSpec* find_supervisor(std::string_view name) const;
  [[nodiscard]] const ChildSpec* find_muproc(std::string_view name) const;
};

/// The API's nested form as a system. Throws std::invalid_argument, naming the node, when two nodes share a name, a
/// supervisor has no children where the config would refuse that, or a child's significance makes no sense.
SystemSpec flatten(std::string system_name, const Supervisor& root, std::string root_name = "root");

/// The words of the config for these values, also used in logs and by the tools.
std::string_view to_string(Strategy strategy);
std::string_view to_string(Restart restart);
std::string_view to_string(AutoShutdown auto_shutdown);
std::string_view to_string(LogLevel level);
std::string_view to_string(OnRestart on_restart);
std::string_view to_string(InHand in_hand);
/// "kill", "forever", or the period: "5s", "250ms".
std::string to_string(Stop stop);

/// Why a node may not be `significant`, or empty where it may. OTP's rules: a significant child is transient or
/// temporary, and its supervisor has an auto_shutdown that could act on it.
std::string_view why_not_significant(Restart restart, AutoShutdown parents_auto_shutdown);

}  // namespace muproc::broker
