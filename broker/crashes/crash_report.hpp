// A crash report, as people read it and as programs do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/crashes/crash_dump.hpp"
#include "broker/crashes/unwinder.hpp"
#include "broker/logs/log_stream.hpp"

namespace muproc::broker {

struct CrashReport {
  struct InHand {
    std::string sender;  // "feed <0.2.1>"
    std::string type;
    double age_seconds = 0;
    std::string fate;  // in a mailbox that is kept; else empty
  };

  std::string name, pid, code, reason, decision;
  int os_pid = 0;
  int signal = 0;  // by the kernel's word, or what it noted itself; 0: none
  bool core_dumped = false;
  std::int64_t wall_ns = 0;
  std::int64_t uptime_ns = 0;
  std::uint32_t restarts = 0;
  std::uint32_t unreported = 0;  // crashes of the same muproc since its previous report
  std::vector<InHand> in_hand;
  std::optional<CrashDump> dump;
  Unwound unwound;
  std::vector<LastLine> last_lines;
};

std::string to_text(const CrashReport& report);
std::string to_json(const CrashReport& report);

/// "SEGV_MAPERR: nothing is mapped there", "sent by process 17"; empty when there is nothing to say.
std::string signal_code_in_words(int signal, int code, int sender);

}  // namespace muproc::broker
