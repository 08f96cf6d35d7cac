#include "broker/spec.hpp"

#include <stdexcept>
#include <utility>

#include "broker/units.hpp"

namespace muproc::broker {

namespace {

class Flattener {
 public:
  explicit Flattener(SystemSpec& system) : system_(system) {}

  void add(const std::string& name, const Supervisor& supervisor, const SupervisorOptions& options) {
    take(name);
    if (supervisor.strategy == Strategy::simple_one_for_one) check_template(name, supervisor);
    SupervisorSpec spec{options, name, supervisor.strategy, supervisor.limit, supervisor.auto_shutdown, {}};
    for (const Child& child : supervisor.children) {
      spec.children.push_back(child.name);
      std::visit([&](const auto& what) { add(child.name, what, supervisor.auto_shutdown); }, child.what);
    }
    system_.supervisors.emplace(name, std::move(spec));
  }

 private:
  void add(const std::string& name, const Child::Muproc& muproc, AutoShutdown parents) {
    take(name);
    check_significance(name, muproc.options.significant, muproc.options.restart, parents);
    system_.muprocs.emplace(name, ChildSpec{muproc.options, name, muproc.code});
  }
  void add(const std::string& name, const Child::Nested& nested, AutoShutdown parents) {
    check_significance(name, nested.options.significant, nested.options.restart, parents);
    add(name, nested.supervisor, nested.options);
  }

  static void check_template(const std::string& name, const Supervisor& supervisor) {
    if (supervisor.children.size() != 1 || !std::holds_alternative<Child::Muproc>(supervisor.children.front().what))
      throw std::invalid_argument("supervision tree: \"" + name + "\" is simple_one_for_one: its one child is a muproc, the template");
  }

  void take(const std::string& name) {
    if (name.empty()) throw std::invalid_argument("supervision tree: a child has no name");
    if (!names_.emplace(name, true).second)
      throw std::invalid_argument("supervision tree: two children are named \"" + name + '"');
  }
  static void check_significance(const std::string& name, bool significant, Restart restart, AutoShutdown parents) {
    const auto why = significant ? why_not_significant(restart, parents) : std::string_view();
    if (!why.empty())
      throw std::invalid_argument("supervision tree: \"" + name + "\" cannot be significant: " + std::string(why));
  }

  SystemSpec& system_;
  std::map<std::string, bool> names_;
};

template <class Map>
auto find_in(const Map& nodes, std::string_view name) {
  const auto it = nodes.find(name);
  return it == nodes.end() ? nullptr : &it->second;
}

}  // namespace

const SupervisorSpec* SystemSpec::find_supervisor(std::string_view name) const { return find_in(supervisors, name); }
const ChildSpec* SystemSpec::find_muproc(std::string_view name) const { return find_in(muprocs, name); }

SystemSpec flatten(std::string system_name, const Supervisor& root, std::string root_name) {
  SystemSpec system;
  system.name = std::move(system_name);
  system.root = std::move(root_name);
  Flattener(system).add(system.root, root, {});
  return system;
}

std::string_view why_not_significant(Restart restart, AutoShutdown parents_auto_shutdown) {
  if (restart == Restart::permanent) return "it is permanent, so it never ends for good";
  if (parents_auto_shutdown == AutoShutdown::never) return "its supervisor's auto_shutdown is \"never\"";
  return {};
}

std::string_view to_string(Strategy strategy) {
  switch (strategy) {
    case Strategy::one_for_one: return "one_for_one";
    case Strategy::one_for_all: return "one_for_all";
    case Strategy::rest_for_one: return "rest_for_one";
    case Strategy::simple_one_for_one: return "simple_one_for_one";
  }
  return "?";
}

std::string_view to_string(Restart restart) {
  switch (restart) {
    case Restart::permanent: return "permanent";
    case Restart::transient: return "transient";
    case Restart::temporary: return "temporary";
  }
  return "?";
}

std::string_view to_string(AutoShutdown auto_shutdown) {
  switch (auto_shutdown) {
    case AutoShutdown::never: return "never";
    case AutoShutdown::any_significant: return "any_significant";
    case AutoShutdown::all_significant: return "all_significant";
  }
  return "?";
}

std::string_view to_string(LogLevel level) {
  switch (level) {
    case LogLevel::trace: return "trace";
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warn: return "warn";
    case LogLevel::error: return "error";
    case LogLevel::off: return "off";
  }
  return "?";
}

std::string_view to_string(OnRestart on_restart) { return on_restart == OnRestart::keep ? "keep" : "discard"; }
std::string_view to_string(InHand in_hand) { return in_hand == InHand::redeliver ? "redeliver" : "drop"; }

std::string to_string(Stop stop) {
  switch (stop.kind()) {
    case Stop::Kind::kill: return "kill";
    case Stop::Kind::forever: return "forever";
    case Stop::Kind::period: return to_string(stop.period());
  }
  return "?";
}

}  // namespace muproc::broker
