// A reload under way: the changes of a list (spec_diff.hpp), made one after another.
//
// Changes without a stop come first, then moves, removals in reverse start order, restarts and additions in start order,
// each when the one before it is done: so there is never more in the air than one birth or one end, and no supervisor
// has to know of the reload. A change that fails is noted, and the others are made all the same. At the end the start
// orders are made right.
//
// If the broker dies at any line, the system ends, as it does whenever the broker dies.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "broker/core.hpp"
#include "broker/metrics/metrics.hpp"
#include "broker/reload_result.hpp"
#include "broker/spares.hpp"
#include "broker/supervisors.hpp"
#include "broker/watchdogs.hpp"
#include "broker/zygotes.hpp"

namespace muproc::broker {

class Reload {
 public:
  using Done = ReloadResult;
  using WhenDone = std::function<void(std::vector<Done>)>;

  Reload(Core& core, Supervisors& supervisors, Watchdogs& watchdogs, Zygotes& zygotes, Spares& spares, Logger& logger,
         Metrics& metrics, SystemSpec from, SystemSpec to, WhenDone done);

  /// Begins; `done` is called from the loop.
  void run();
  /// What the system is after it: `to`, without what could not be added.
  const SystemSpec& outcome() const { return to_; }

 private:
  void next();
  void later(std::function<void()> call);
  void make(const Change& change);
  std::string set_system();
  void change(const Change& change);
  std::string limit(Muproc& muproc, const Plan& plan);
  void move(const Change& change);
  void add(const Change& change);
  void finished(std::string error);
  void finish();
  void could_not_add(const std::string& name);
  bool is_template(const std::string& name) const;
  bool is_below_a_new_one(const Change& change) const;
  bool is_below_one_that_goes(const std::string& name) const;
  SupervisorPlan::Child part(const std::string& name) const;

  Core& core_;
  Supervisors& supervisors_;
  Watchdogs& watchdogs_;
  Zygotes& zygotes_;
  Spares& spares_;
  Logger& logger_;
  Metrics& metrics_;
  SystemSpec from_, to_;
  WhenDone when_done_;
  std::vector<Done> list_;
  std::size_t at_ = 0;
  Watch step_;
};

/// The modules of that system whose files have changed since they were loaded.
std::set<std::string> changed_modules(const Zygotes& zygotes, const SystemSpec& system);

}  // namespace muproc::broker
