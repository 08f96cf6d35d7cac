#include "broker/reload.hpp"

#include <algorithm>

#include "broker/live_limits.hpp"

namespace muproc::broker {
namespace {

using Kind = Change::Kind;

/// Whether somebody lives whom that zygote has cloned.
bool has_children(MuprocTable& table, int zygote) {
  const auto living = table.living();
  return std::ranges::any_of(living, [&](const Muproc* muproc) { return muproc->cloned_by == zygote; });
}

}  // namespace

std::set<std::string> changed_modules(const Zygotes& zygotes, const SystemSpec& system) {
  std::set<std::string> changed;
  for (const auto& [name, muproc] : system.muprocs)
    if (const auto* entry = std::get_if<ModuleEntry>(&muproc.code); entry && zygotes.has_changed(entry->module))
      changed.insert(entry->module);
  return changed;
}

Reload::Reload(Core& core, Supervisors& supervisors, Watchdogs& watchdogs, Zygotes& zygotes, Spares& spares, Logger& logger,
               Metrics& metrics, SystemSpec from, SystemSpec to, WhenDone done)
    : core_(core),
      supervisors_(supervisors),
      watchdogs_(watchdogs),
      zygotes_(zygotes),
      spares_(spares),
      logger_(logger),
      metrics_(metrics),
      from_(std::move(from)),
      to_(std::move(to)),
      when_done_(std::move(done)) {
  const auto changed = changed_modules(zygotes_, to_);
  for (Change& change : diff(from_, to_, changed)) list_.push_back({std::move(change), {}});
  to_.cgroup = from_.cgroup;  // as it stays
  to_.logs.is_captured = from_.logs.is_captured;
  for (const std::string& module : changed) zygotes_.renew(module);
}

void Reload::run() {
  later([this] { next(); });
}

/// From the loop, and from no callback of a child: so policies are not being asked.
void Reload::later(std::function<void()> call) { step_ = core_.loop.after(std::chrono::nanoseconds(0), std::move(call)); }

void Reload::next() {
  if (at_ == list_.size() || core_.is_stopping) return finish();
  try {
    make(list_[at_].change);
  } catch (const Control::Failure& failure) {
    finished(failure.text);
  } catch (const std::exception& failure) {
    finished(failure.what());
  }
}

void Reload::finished(std::string error) {
  Done& done = list_[at_++];
  const std::string what = std::string(to_string(done.change.kind)) + ' ' + done.change.name;
  if (!error.empty()) core_.log.error("reload: could not {}: {}", what, error);
  if (error.empty() && done.change.kind != Kind::keep) core_.log.info("reload: {}", what);
  if (!error.empty() && done.change.kind == Kind::add) could_not_add(done.change.name);
  done.error = std::move(error);
  later([this] { next(); });
}

/// What a template supervisor makes its children of is its own affair: those that are there go on, the next are new.
bool Reload::is_template(const std::string& name) const {
  const auto lists = [&](const SystemSpec& system) {
    const SupervisorSpec* up = parent_of(system, name);
    return up && up->strategy == Strategy::simple_one_for_one;
  };
  return lists(to_) || (!to_.find_muproc(name) && lists(from_));
}

void Reload::make(const Change& change) {
  if (change.kind != Kind::set && change.kind != Kind::keep && is_template(change.name)) {
    if (const SupervisorSpec* up = parent_of(to_, change.name); up && from_.find_supervisor(up->name)) supervisors_.change_supervisor(to_, up->name);
    return finished({});
  }
  const auto done = [this](Pid, const Control::Failure* failure) { finished(failure ? failure->text : std::string()); };
  switch (change.kind) {
    case Kind::set: return finished(set_system());
    case Kind::keep: return finished({});
    case Kind::change: return this->change(change);
    case Kind::move: return move(change);
    case Kind::remove: return is_below_one_that_goes(change.name) ? finished({}) : supervisors_.remove(change.name, done);
    case Kind::restart:
      supervisors_.change_muproc(change.name, plan_of(std::get<ChildSpec>(change.spec)), false);
      return supervisors_.restart(change.name, done);
    case Kind::add: return add(change);
  }
}

/// What could not be done of it.
std::string Reload::set_system() {
  core_.log.set_level(to_.log);
  core_.log.keep(to_.logs);
  logger_.change(core_, to_.logs, to_.crash_reports);
  return metrics_.serve(to_.metrics);
}

void Reload::change(const Change& change) {
  if (std::holds_alternative<SupervisorSpec>(change.spec)) {
    supervisors_.change_supervisor(to_, change.name);
    return finished({});
  }
  const PlanPtr plan = plan_of(std::get<ChildSpec>(change.spec));
  supervisors_.change_muproc(change.name, plan, true);
  std::string failures;
  const auto slot = core_.table.slot_named(change.name);
  Muproc* muproc = slot ? core_.table.record(*slot).life.get() : nullptr;
  if (muproc && !muproc->is_dead && muproc->os_pid > 0 && !(plan->limits == from_.find_muproc(change.name)->limits))
    failures = limit(*muproc, *plan);
  if (slot) spares_.look_at(*slot);
  if (muproc && muproc->is_up() && !muproc->unready) watchdogs_.watch(*muproc);
  finished(std::move(failures));
}

std::string Reload::limit(Muproc& muproc, const Plan& plan) {
  std::string failures = apply_to(muproc.os_pid, settings_of(plan, holds_memory(muproc.cgroup)));
  if (!holds_memory(muproc.cgroup) || !plan.limits.memory) return failures;
  const std::string failure = muproc.cgroup->limit_memory(*plan.limits.memory);
  return failures + (failures.empty() || failure.empty() ? "" : "; ") + failure;
}

/// One that cannot be moved as it is, since it is on its way up or down, begins anew at its new place.
void Reload::move(const Change& change) {
  if (supervisors_.move(change.name, change.parent)) return finished({});
  supervisors_.remove(change.name, [this, change](Pid, const Control::Failure*) {
    later([this, change] {
      try {
        supervisors_.add_to(change.parent, part(change.name), [this](Pid, const Control::Failure* failure) {
          finished(failure ? failure->text : std::string());
        });
      } catch (const Control::Failure& failure) {
        finished(failure.text);
      }
    });
  });
}

void Reload::add(const Change& change) {
  if (is_below_a_new_one(change)) return finished({});
  supervisors_.add_to(change.parent, part(change.name), [this](Pid, const Control::Failure* failure) {
    finished(failure ? failure->text : std::string());
  });
}

/// It came with its supervisor.
bool Reload::is_below_a_new_one(const Change& change) const {
  return std::ranges::any_of(list_, [&](const Done& other) { return other.change.kind == Kind::add && other.change.name == change.parent; });
}

/// It goes with its supervisor.
bool Reload::is_below_one_that_goes(const std::string& name) const {
  const SupervisorSpec* up = parent_of(from_, name);
  return up && std::ranges::any_of(list_, [&](const Done& other) { return other.change.kind == Kind::remove && other.change.name == up->name; });
}

SupervisorPlan::Child Reload::part(const std::string& name) const {
  if (const ChildSpec* muproc = to_.find_muproc(name)) return plan_of(*muproc);
  return plan_of(to_, name);
}

/// The next reload is to try it again.
void Reload::could_not_add(const std::string& name) {
  if (const SupervisorSpec* gone = to_.find_supervisor(name))
    for (const std::string& child : std::vector<std::string>(gone->children)) could_not_add(child);
  if (const SupervisorSpec* up = parent_of(to_, name)) std::erase(to_.supervisors.at(up->name).children, name);
  to_.muprocs.erase(name);
  to_.supervisors.erase(name);
}

void Reload::finish() {
  for (; at_ < list_.size(); ++at_)
    if (list_[at_].change.kind != Kind::keep) list_[at_].error = "the system is being stopped";
  for (const Done& done : list_)
    if (done.change.kind == Kind::change && to_.find_supervisor(done.change.name)) supervisors_.change_supervisor(to_, done.change.name);
  zygotes_.end_the_old([this](int zygote) { return has_children(core_.table, zygote); });
  when_done_(std::move(list_));
}

}  // namespace muproc::broker
