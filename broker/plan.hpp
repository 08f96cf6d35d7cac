// What one muproc is to be made of: the form in which the launcher takes it, whoever asks for it.
//
// A plan comes from a config or from the API (ChildSpec), or from a muproc that spawns (wire::Child). A supervised child
// keeps its plan over all its incarnations, so plans are shared and never changed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "broker/sandbox.hpp"
#include "broker/spec.hpp"
#include "sys/settings.hpp"
#include "wire/control.capnp.h"

namespace muproc::broker {

/// A function in a module that some zygote has loaded.
struct FunctionCode {
  std::vector<std::uint8_t> build_id;
  std::uint64_t offset = 0;
  std::string module;  // its path, for error texts
  friend bool operator==(const FunctionCode&, const FunctionCode&) = default;
};

using PlannedCode = std::variant<ModuleEntry, FunctionCode, Program>;

struct Plan : ChildOptions {
  std::string name;
  PlannedCode code;
  std::string error_stream;
  std::optional<sys::ProcessSettings::Identity> identity;  // who `user`, `group` and `groups` are; absent: the broker's
  std::shared_ptr<const Filters> filters;                   // of `sandbox`; null: there is none

  bool is_plain() const {
    const auto* program = std::get_if<Program>(&code);
    return program && program->plain;
  }
  bool is_program() const { return std::holds_alternative<Program>(code); }
};

using PlanPtr = std::shared_ptr<const Plan>;

/// Throws std::invalid_argument when it names a user that is not there.
PlanPtr plan_of(const ChildSpec& spec);
/// Throws std::invalid_argument when it says something that cannot be, or names a user that is not there.
PlanPtr plan_of(wire::Child::Reader child);

/// Supervisors as a muproc described them; names that are not given are made up from `fallback`.
Stop stop_of(std::int64_t ns);
Restart restart_of(std::uint8_t restart);

/// Settles the plan's sandbox and compiles its filters. Throws std::invalid_argument when it cannot be as it is.
void prepare_sandbox(Plan& plan);

/// Without its memory, when a cgroup sees to that.
void write(wire::Limits::Builder to, const Plan& plan, bool cgroup_holds_memory);
/// What is left to do for a program that has been exec'd and has attached: its narrower filter.
void write_rest(wire::Limits::Builder to, const Plan& plan);
/// The same for this process's own use.
sys::ProcessSettings settings_of(const Plan& plan, bool cgroup_holds_memory);
void write_environment(capnp::List<wire::Variable>::Builder to,
                       const std::vector<std::pair<std::string, std::string>>& variables);

/// "libarea.so:areaserver", "./decoder --fast", "tests+0x1f30": for logs and for tools.
std::string to_string(const PlannedCode& code);

}  // namespace muproc::broker
