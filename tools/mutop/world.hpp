// What pages ask the system for beyond the sample: its broker when that answers, its files, its rings. Nothing in here waits.
//
// The live one is live_world.hpp; tests have their own.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/common/waiting_messages.hpp"
#include "tools/mutop/actions.hpp"

namespace muproc::mutop {

struct EventLine {
  std::uint64_t number = 0;
  std::int64_t wall_ns = 0;
  std::string kind, name, text;  // printable; "death", "ch-1", …
  Pid pid;
};

struct CrashLine {
  std::string when, muproc, reason;  // printable
  std::string path;                  // tells one from another
};

/// What only the broker knows of one: links, monitors, config. In the order in which it is shown.
struct Facts {
  std::vector<std::pair<std::string, std::string>> lines;  // printable
  std::int64_t wall_ns = 0;                                // when the broker said so
};

class World {
 public:
  virtual ~World() = default;

  /// False while the broker does not answer: it is stopped, busy or gone.
  virtual bool is_answering() const = 0;
  /// Births, deaths and decisions, oldest first.
  virtual const std::deque<EventLine>& events() const = 0;
  /// The newest first.
  virtual std::vector<CrashLine> crashes() = 0;
  virtual std::vector<std::string> crash_text(const CrashLine& crash) = 0;

  /// Asks the broker, unless it has been asked already; `facts` has the answer when it comes.
  virtual void ask_about(const std::string& name) = 0;
  virtual std::optional<Facts> facts(const std::string& name) const = 0;
  virtual std::vector<std::string> ports(Pid pid) const = 0;
  virtual std::vector<tools::WaitingMessage> waiting(Pid receiver) const = 0;
  /// The last lines that it has said; goes on where it was as long as it is asked for the same one.
  virtual const std::deque<std::string>& log_tail(const std::string& name) = 0;

  /// Begins to listen in on the messages of one, or ends that when the name is empty. Returns why not, or nothing.
  virtual std::string trace(const std::string& name) = 0;
  /// The latest of them, printable; the last is the newest.
  virtual const std::deque<std::string>& traced() const = 0;
  /// "120 seen, none missed".
  virtual std::string trace_sums() const = 0;

  virtual void act(const Action& action) = 0;
  /// What has become of actions since it was last asked: texts for people, and whether it went well.
  virtual std::vector<std::pair<std::string, bool>> take_results() = 0;
};

}  // namespace muproc::mutop
