// Muproc `day`: opens the market, closes it when its time is over or when it is told to (`muctl call day cmd=close`),
// waits until nothing is under way any more, and has the auditor's table printed. Its own end is that of the system.
//
// Who joins the group "day" is told its phase, `phase: open` or `phase: closed`, at once and at each change, and answers
// `heard: closed`. When all feeds have, no more quotes come, so whoever is asked for their books after that has seen the
// last one. When the day itself was killed, its replacement tells all again; what time it is that one knows from the
// day's file.
#pragma once

#include <muproc/muproc.hpp>

namespace trading {

inline constexpr const char* k_day = "day";
inline constexpr const char* k_open = "open";
inline constexpr const char* k_closed = "closed";

/// For a member's receive: the clause by which it hears whether the day is open, and says that it has.
inline auto hears_phase(muproc::Self& self, bool& open) {
  return muproc::on<"phase">() >> [&](muproc::From from, muproc::Symbol phase) {
    open = phase.name == k_open;
    self.send(from, "heard", phase);
  };
}

}  // namespace trading
