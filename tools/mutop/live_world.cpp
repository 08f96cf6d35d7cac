#include "tools/mutop/live_world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <sstream>

#include "tools/common/crash_files.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/text.hpp"
#include "wire/codec.hpp"

namespace muproc::mutop {
namespace {

using tools::printable;
using wire::view;

std::int64_t wall_clock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string peers(const tools::Snapshot* now, capnp::List<std::uint64_t>::Reader pids) {
  std::string out;
  for (const std::uint64_t bits : pids) {
    const tools::MuprocView* peer = now ? now->find(Pid(bits)) : nullptr;
    (out += out.empty() ? "" : ", ") += peer ? printable(peer->name) : to_string(Pid(bits));
  }
  return out;
}

Facts facts_of(const tools::Snapshot* now, wire::Node::Reader node) {
  Facts facts;
  facts.wall_ns = wall_clock();
  const auto add = [&facts](const char* label, std::string text) {
    if (!text.empty()) facts.lines.emplace_back(label, std::move(text));
  };
  const auto text = [](capnp::Text::Reader reader) { return printable(view(reader)); };
  add("links", peers(now, node.getLinks()));
  add("monitors", peers(now, node.getMonitors()));
  add("code", text(node.getCode()));
  add("restart", text(node.getRestart()));
  add("stop", text(node.getStop()));
  add("user", text(node.getUser()));
  add("memory limit", text(node.getMemoryLimit()));
  if (node.getWatchdogNs() > 0) add("watchdog", tools::short_duration(std::chrono::nanoseconds(node.getWatchdogNs())));
  if (node.getSpares() > 0 || node.getSparesReady() > 0)
    add("spares", fmt::format("{} of {} ready", node.getSparesReady(), node.getSpares()));
  add("says", text(node.getSaidStatus()));
  return facts;
}

}  // namespace

LiveWorld::LiveWorld(std::shared_ptr<tools::SystemView> view, const tools::Schemas& schemas)
    : view_(std::move(view)), link_(view_->folder()), decoder_(&schemas) {}

void LiveWorld::pump() {
  if (tap_) listen();
  link_.pump();
  if (link_.fd() >= 0 && events_generation_ != link_.generation()) {
    events_generation_ = link_.generation();
    asked_about_.clear();
    events_.clear();  // another broker counts anew
    ask_for_events(false);
  }
}

// ---- events ----------------------------------------------------------------------------------------------------------

void LiveWorld::ask_for_events(bool wait) {
  const auto fill = [this, wait](wire::ToBroker::Builder to) {
    auto request = to.initEvents();
    request.setNumber(events_.empty() ? 0 : events_.back().number);
    request.setWait(wait);
  };
  link_.ask_for_news(fill, [this](const wire::FromBroker::Reader* reply, const std::string&) {
    if (!reply || !reply->isEvents()) return;
    take_events(*reply);
    ask_for_events(true);
  });
}

void LiveWorld::take_events(wire::FromBroker::Reader reply) {
  for (const auto event : reply.getEvents()) {
    EventLine line{event.getNumber(),
                   event.getWallNs(),
                   printable(view(event.getKind())),
                   printable(view(event.getName())),
                   printable(view(event.getText())),
                   Pid(event.getPid())};
    const std::string reason = printable(view(event.getReason()));
    if (!reason.empty() && line.kind != "start_failed") line.text += ": " + reason;
    events_.push_back(std::move(line));
    if (events_.size() > k_events) events_.pop_front();
  }
}

// ---- files -----------------------------------------------------------------------------------------------------------

std::vector<CrashLine> LiveWorld::crashes() {
  std::vector<CrashLine> lines;
  try {
    std::map<std::string, CrashLine> known;
    for (const tools::CrashReport& report : tools::crash_reports_in(view_->folder() / "crashes")) {
      if (lines.size() == k_crashes) break;
      const std::string path = report.path.native() + ".txt";
      if (const auto found = known_crashes_.find(path); found != known_crashes_.end()) {
        lines.push_back(found->second);
      } else {
        const std::string text = report.text();
        lines.push_back({tools::when(report.file.stamp), printable(tools::line_of(text, "muproc")),
                         printable(tools::line_of(text, "reason")), path});
      }
      known.emplace(path, lines.back());
    }
    known_crashes_ = std::move(known);
  } catch (const tools::Failure&) {
    // No folder, or a report that has just been given up for a newer one: it is looked at again.
  }
  return lines;
}

std::vector<std::string> LiveWorld::crash_text(const CrashLine& crash) {
  std::vector<std::string> lines;
  try {
    const tools::CrashReport report{{}, std::filesystem::path(crash.path).replace_extension()};
    std::istringstream text(report.text());
    for (std::string line; std::getline(text, line);) lines.push_back(printable(line));
  } catch (const tools::Failure& failure) {
    lines.push_back(printable(failure.what()));
  }
  return lines;
}

void LiveWorld::open_log(const std::string& name) {
  log_name_ = name;
  log_lines_.clear();
  log_.reset();
  log_source_ = tools::log_source_of(view_->folder() / "logs", name);
  if (!log_source_) return;
  log_ = std::make_unique<tools::LogReader>(log_source_->file);
  for (std::string& line : log_->last(k_log_lines, [this](std::string_view text) { return log_source_->wants(text); }))
    log_lines_.push_back(printable(line));
}

const std::deque<std::string>& LiveWorld::log_tail(const std::string& name) {
  // Looking for the words of one that has not said any reads what others have said: not at each refresh.
  const auto now = std::chrono::steady_clock::now();
  if (name != log_name_ || (!log_source_ && now - log_looked_for_ > std::chrono::seconds(2))) {
    log_looked_for_ = now;
    open_log(name);
  }
  if (!log_) return log_lines_;
  log_->read_on([this](std::string_view line) {
    if (!log_source_->wants(line)) return;
    log_lines_.push_back(printable(line));
    if (log_lines_.size() > k_log_lines) log_lines_.pop_front();
  });
  return log_lines_;
}

// ---- messages as they pass -------------------------------------------------------------------------------------------

std::string LiveWorld::trace(const std::string& name) {
  tap_.reset();
  traced_.clear();
  if (name.empty()) return {};
  try {
    tap_ = std::make_unique<tools::MessageTap>(view_->folder(), name);
  } catch (const tools::Failure& failure) {
    return printable(failure.what());
  }
  return {};
}

/// All are counted; the latest of each look are decoded, which are more than anybody reads.
void LiveWorld::listen() {
  std::deque<tools::TappedMessage> latest;
  tap_->poll([&](const tools::TappedMessage& message) {
    latest.push_back(message);
    if (latest.size() > k_traced_at_once) latest.pop_front();
  });
  std::stable_sort(latest.begin(), latest.end(),
                   [](const auto& a, const auto& b) { return a.header.timestamp < b.header.timestamp; });
  for (const tools::TappedMessage& message : latest) {
    const tools::DecodedMessage what = decoder_.decode(message.header, message.segments);
    const auto who = [](Pid pid, const std::string& name) { return name.empty() ? to_string(pid) : printable(name); };
    std::string line = fmt::format("{} {} -> {}  ", tools::local_time(wall_clock() - message.age.count()).substr(11),
                                   who(message.from, message.from_name), who(message.to, message.to_name));
    if (what.kind != "message") line += std::string(what.kind) + ' ';
    if (!what.type.empty()) line += what.type + ' ';
    traced_.push_back(line + what.text);
    if (traced_.size() > k_traced) traced_.pop_front();
  }
}

std::string LiveWorld::trace_sums() const {
  if (!tap_) return {};
  const std::string missed = tap_->missed_bytes() == 0 ? "none missed" : fmt::format("about {} missed", tap_->missed());
  return fmt::format("{} seen, {}", tap_->seen(), missed);
}

// ---- the broker's knowledge, and its deeds ---------------------------------------------------------------------------

void LiveWorld::ask_about(const std::string& name) {
  if (asked_about_.contains(name) || link_.fd() < 0) return;
  asked_about_.insert(name);
  link_.ask([&](wire::ToBroker::Builder request) { request.setDescribe(wire::pointer(name)); },
            [this, name](const wire::FromBroker::Reader* reply, const std::string&) {
              asked_about_.erase(name);
              if (reply && reply->isNodes() && reply->getNodes().size() > 0)
                facts_[name] = facts_of(now_.get(), reply->getNodes()[0]);
            });
}

std::optional<Facts> LiveWorld::facts(const std::string& name) const {
  const auto found = facts_.find(name);
  return found == facts_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<tools::WaitingMessage> LiveWorld::waiting(Pid receiver) const {
  return now_ ? tools::waiting_messages(*view_, *now_, receiver, k_waiting_of_each, decoder_)
              : std::vector<tools::WaitingMessage>();
}

void LiveWorld::act(const Action& action) {
  using ChildVerb = wire::ChildVerb::Verb;
  const auto fill = [&](wire::ToBroker::Builder request) {
    if (action.verb == Verb::kill) return request.setKill(action.pid.bits());
    auto asked = request.initChildVerb();
    asked.setVerb(action.verb == Verb::restart ? ChildVerb::RESTART
                  : action.verb == Verb::stop  ? ChildVerb::STOP
                                               : ChildVerb::START);
    // By its pid, so that the broker refuses when another incarnation lives there by the time that it reads this.
    action.pid ? asked.setPid(action.pid.bits()) : asked.setName(wire::pointer(action.name));
  };
  results_.emplace_back("asked the broker to " + title(action), true);
  link_.ask(fill, [this, what = title(action)](const wire::FromBroker::Reader* reply, const std::string& failure) {
    results_.emplace_back(reply ? "done: " + what : fmt::format("could not {}: {}", what, failure), reply != nullptr);
  });
}

}  // namespace muproc::mutop
