// The World of a running system: a link to its broker that never waits, its files, its rings.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include "tools/common/broker_link.hpp"
#include "tools/common/log_reader.hpp"
#include "tools/common/log_source.hpp"
#include "tools/common/message_tap.hpp"
#include "tools/common/system_view.hpp"
#include "tools/mutop/world.hpp"

namespace muproc::mutop {

class LiveWorld : public World {
 public:
  /// The schemas outlive it.
  LiveWorld(std::shared_ptr<tools::SystemView> view, const tools::Schemas& schemas);

  /// To be polled, and pumped when there is something, or every now and then.
  const tools::BrokerLink& link() const { return link_; }
  void pump();
  /// The latest look, to know who is who in what the broker says.
  void set_snapshot(std::shared_ptr<const tools::Snapshot> now) { now_ = std::move(now); }
  /// The system was started again: this is the new one.
  void set_view(std::shared_ptr<tools::SystemView> view) { view_ = std::move(view); }

  bool is_answering() const override { return link_.is_answering(); }
  const std::deque<EventLine>& events() const override { return events_; }
  std::vector<CrashLine> crashes() override;
  std::vector<std::string> crash_text(const CrashLine& crash) override;
  void ask_about(const std::string& name) override;
  std::optional<Facts> facts(const std::string& name) const override;
  std::vector<std::string> ports(Pid pid) const override { return view_->directory().ports(pid); }
  std::vector<tools::WaitingMessage> waiting(Pid receiver) const override;
  const std::deque<std::string>& log_tail(const std::string& name) override;
  std::string trace(const std::string& name) override;
  const std::deque<std::string>& traced() const override { return traced_; }
  std::string trace_sums() const override;
  /// How soon `pump` should be called again so that a trace misses nothing; nothing while there is none.
  std::optional<std::chrono::nanoseconds> trace_pause() const {
    return tap_ ? std::optional(tap_->pause()) : std::nullopt;
  }

  void act(const Action& action) override;
  std::vector<std::pair<std::string, bool>> take_results() override { return std::exchange(results_, {}); }

 private:
  static constexpr std::size_t k_traced = 1000, k_traced_at_once = 100;
  void listen();
  static constexpr std::size_t k_events = 5000, k_log_lines = 200, k_crashes = 1000, k_waiting_of_each = 50;
  void ask_for_events(bool wait);
  void take_events(wire::FromBroker::Reader reply);
  void open_log(const std::string& name);

  std::shared_ptr<tools::SystemView> view_;
  std::shared_ptr<const tools::Snapshot> now_;
  tools::BrokerLink link_;
  tools::MessageDecoder decoder_;
  unsigned events_generation_ = 0;
  std::deque<EventLine> events_;
  std::map<std::string, CrashLine> known_crashes_;  // by path: what a report says does not change
  std::map<std::string, Facts> facts_;
  std::set<std::string> asked_about_;
  std::string log_name_;
  std::chrono::steady_clock::time_point log_looked_for_{};
  std::optional<tools::LogSource> log_source_;
  std::unique_ptr<tools::LogReader> log_;
  std::deque<std::string> log_lines_;
  std::unique_ptr<tools::MessageTap> tap_;
  std::deque<std::string> traced_;
  std::vector<std::pair<std::string, bool>> results_;
};

}  // namespace muproc::mutop
