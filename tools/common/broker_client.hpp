// A tool's connection to a broker: it asks and is answered, has no pid, no mailbox and no shared memory.
//
// Every call has a time limit, since a broker may be stopped or busy; all that goes wrong is a Failure with the exit code
// for it. One request at a time, one thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "tools/common/nodes.hpp"
#include "wire/control.capnp.h"
#include "wire/frame.hpp"

namespace muproc::tools {

/// Absent: without limit.
using Patience = std::optional<std::chrono::nanoseconds>;

/// What a broker that is alive and not stopped needs for an answer from its own books.
inline constexpr std::chrono::seconds k_book_patience{10};

class BrokerClient {
 public:
  /// Joins the system of that name or path; empty: $MUPROC_SYSTEM, or the only one that runs. `patience` is for this and
  /// for each answer that takes no longer than looking something up.
  explicit BrokerClient(std::string_view system, Patience patience = k_book_patience);

  const std::filesystem::path& folder() const { return folder_; }
  /// The system's name.
  std::string system() const;

  /// Sends the request that `fill` writes and returns the reply to it, which is no error.
  wire::Frame ask(const std::function<void(wire::ToBroker::Builder)>& fill) { return ask(fill, patience_); }
  wire::Frame ask(const std::function<void(wire::ToBroker::Builder)>& fill, Patience patience);
  /// All muprocs and supervisors of the system, as they are now.
  Nodes nodes();

  /// True when the broker has closed the connection by the end of that time, as it does when it ends.
  bool wait_until_gone(Patience patience);

 private:
  using Deadline = std::optional<std::chrono::steady_clock::time_point>;
  static Deadline deadline(Patience patience);
  void introduce();
  wire::Frame exchange(capnp::MessageBuilder& request, std::uint64_t id, Patience patience);
  /// False at the deadline.
  bool wait_for(short events, Deadline until) const;

  std::filesystem::path folder_;
  Patience patience_;
  wire::FrameSocket socket_;
  std::uint64_t last_id_ = 0;
};

}  // namespace muproc::tools
