// What has to be done to a running system so that it is as another config says: the least.
//
// Pure: two specs in, a list of changes out, in the order in which they are made. Whoever makes them keeps what is not
// named as it is. `apply` makes them to a spec, so that a test can say what the list means: apply(from, diff(from, to))
// is `to`.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "broker/spec.hpp"

namespace muproc::broker {

struct Change {
  enum class Kind {
    set,      // of the system
    change,   // without a stop, of a muproc or supervisor that goes on
    move,     // to another supervisor, as it is
    remove,
    restart,  // stopped, and started as it is now to be
    add,
    keep,     // nothing
  };
  Kind kind = Kind::keep;
  std::string name;                  // of the node; empty: the system
  std::vector<std::string> details;  // "stop: 5s → kill"
  std::string parent;                // of `add` and `move`: the supervisor
  std::variant<std::monostate, ChildSpec, SupervisorSpec> spec;  // what it is to be; of `set`, `move`, `remove`, `keep` nothing
};

/// "change", "move", …
std::string_view to_string(Change::Kind kind);

/// Why a running system cannot become that without being launched anew, or empty.
std::string why_not_reload(const SystemSpec& from, const SystemSpec& to);

/// `changed_modules` are those whose file is another one than the running code's: as a plan names them.
std::vector<Change> diff(const SystemSpec& from, const SystemSpec& to, const std::set<std::string>& changed_modules = {});

/// What `set` means: what a system says of itself and can be changed while it runs. Its cgroup cannot.
void set_system(SystemSpec& system, const SystemSpec& to);

/// The system after these changes. What `set` says is taken from `to`.
SystemSpec apply(SystemSpec system, const std::vector<Change>& changes, const SystemSpec& to);

/// The supervisor that lists this node, or null.
const SupervisorSpec* parent_of(const SystemSpec& system, std::string_view name);

}  // namespace muproc::broker
