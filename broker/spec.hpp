// What a system is: its name, its supervisors, its muprocs. Plain values, made by the config or by the API.
//
// A `SystemSpec` is flat: nodes are named, and a supervisor lists its children by name, in start order. Whoever hands
// one to the broker has made sure that it is a tree (every name is unique and defined, every node but the root has
// exactly one parent): the config reports what is not, and `flatten` throws.
//
// Paths are absolute here, but for a module or a program named without a slash, which is searched for where the
// launcher looks for modules, or in PATH.
#pragma once

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

struct SystemSpec {
  std::string name;
  LogLevel log = LogLevel::info;
  std::filesystem::path runtime_dir;  ///< empty: as the environment says ($MUPROC_RUNTIME_DIR and so on)
  std::filesystem::path config_dir;   ///< where bare module names are looked for first; empty: nowhere
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
/// "kill", "forever", or the period: "5s", "250ms".
std::string to_string(Stop stop);

/// Why a node may not be `significant`, or empty where it may. OTP's rules: a significant child is transient or
/// temporary, and its supervisor has an auto_shutdown that could act on it.
std::string_view why_not_significant(Restart restart, AutoShutdown parents_auto_shutdown);

}  // namespace muproc::broker
