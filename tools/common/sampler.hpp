// Rates, out of two looks at a system: how much has happened between them, and what the processes took of the machine.
//
// What only shows over time is kept here, too: the highest fill of each mailbox since we watch, for how long somebody has been
// handling the same message, how long senders were seen waiting for room. All of that is as exact as the looks are frequent.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "tools/common/process_usage.hpp"
#include "tools/common/snapshot.hpp"

namespace muproc::tools {

struct MuprocRates {
  double received = 0, sent = 0;              // messages a second
  double bytes_received = 0, bytes_sent = 0;  // a second
  std::optional<double> cpu;                  // of one core, in percent; nothing without two looks at one process
  std::optional<std::uint64_t> resident;      // bytes
  std::uint32_t threads = 0;
  std::string user;                                  // as whom the process runs
  double high_water = 0;                             // the highest fill of its mailbox that was seen, 0 to 1
  std::optional<std::chrono::nanoseconds> handling;  // the message in hand: at most that long
};

struct ChannelRates {
  double bytes = 0;                     // taken by the receiver, ring bytes a second
  double high_water = 0;                // as above, of this channel
  std::chrono::nanoseconds blocked{0};  // for so long in all the sender was seen waiting for room here
  bool is_blocked = false;              // it waits now
};

struct Sample {
  std::shared_ptr<const Snapshot> now;
  std::chrono::nanoseconds span{0};    // since the look before; 0: there was none, and rates are 0
  std::vector<MuprocRates> muprocs;    // beside now->muprocs
  std::vector<ChannelRates> channels;  // beside now->channels
  double messages = 0;                 // received in all, a second
  double cpu = 0;                      // of all processes, in percent of one core
  std::optional<double> broker_cpu;
  std::uint64_t resident = 0;  // of all, bytes
  // As seen since we watch.
  std::uint64_t restarts_last_minute = 0, restarts_last_hour = 0;

  const MuprocRates* rates_of(const MuprocView& muproc) const;
};

class Sampler {
 public:
  Sample sample(std::shared_ptr<const Snapshot> now);

 private:
  struct Known {
    ProcessProbe probe;
    int os_pid = 0;
    std::optional<ProcessUsage> usage;
    std::string user;
    std::uint64_t received = 0, sent = 0, bytes_received = 0, bytes_sent = 0;
    bool has_counts = false;
    double high_water = 0;
    // The innermost message in hand, and since when at the earliest.
    std::uint64_t in_hand = 0;
    std::uint32_t depth = 0;
    std::chrono::nanoseconds handled_since{0};
  };
  struct KnownChannel {
    std::uint64_t taken_to = 0;
    double high_water = 0;
    std::chrono::nanoseconds blocked{0};
    std::uint64_t generation = 0;
  };
  using ChannelKey = std::pair<Pid, std::pair<Pid, std::uint64_t>>;  // from, to, secret: which tells a reopened one

  MuprocRates rates(const MuprocView& muproc, Known& known, Sample& sample);
  void look_at_process(const MuprocView& muproc, Known& known, MuprocRates& rates, Sample& sample) const;
  void look_at_handler(const MuprocView& muproc, Known& known, MuprocRates& rates, const Sample& sample) const;
  ChannelRates rates(const ChannelView& channel, const Sample& sample);
  void count_restarts(Sample& sample);

  std::shared_ptr<const Snapshot> before_;
  std::unordered_map<Pid, Known> known_;
  std::map<ChannelKey, KnownChannel> channels_;
  Known broker_;
  std::uint64_t generation_ = 0;
  std::deque<std::pair<std::chrono::nanoseconds, std::uint64_t>> restarts_;  // when, how many in all
};

}  // namespace muproc::tools
