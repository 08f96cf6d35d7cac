// What an end is put down to.
#include "broker/exit_status.hpp"

#include <csignal>

#include "support/catch.hpp"
#include "support/printing.hpp"
#include "wire/said.hpp"

using namespace muproc;
using namespace muproc::broker;

namespace {

ExitStatus exited(int code) { return {ExitStatus::Kind::exited, code}; }
ExitStatus killed_by(int signal, bool core = false) { return {ExitStatus::Kind::signalled, signal, core}; }

const std::optional<Reason> nothing;
const std::optional<Reason> done = Reason::exit("done");
const std::optional<Reason> shutdown_ = Reason::shutdown();

}  // namespace

TEST_CASE("who exits having given account ended as it says", "[broker][reason]") {
  CHECK(reason_of(exited(0), done, nothing, false) == *done);
  CHECK(reason_of(exited(1), done, shutdown_, false) == *done);
}

TEST_CASE("who exits without a word ended with its exit code, 0 included", "[broker][reason]") {
  CHECK(reason_of(exited(0), nothing, nothing, false) == Reason::code(0));
  CHECK(reason_of(exited(3), nothing, shutdown_, false) == Reason::code(3));
}

TEST_CASE("a signal is believed, whatever was said before", "[broker][reason]") {
  CHECK(reason_of(killed_by(SIGSEGV, true), done, nothing, false) == Reason::signal(SIGSEGV, true));
  CHECK(reason_of(killed_by(SIGKILL), done, nothing, false) == Reason::signal(SIGKILL));
  CHECK(reason_of(killed_by(SIGTERM), nothing, shutdown_, false) == Reason::signal(SIGTERM));
}

TEST_CASE("who did not end in time ended for the original reason", "[broker][reason]") {
  CHECK(reason_of(killed_by(SIGKILL), nothing, shutdown_, false) == *shutdown_);
  CHECK(reason_of(killed_by(SIGKILL), done, Reason::killed(), false) == Reason::killed());
}

TEST_CASE("who is aborted by the watchdog ended by it, and who aborts by himself by that signal", "[broker][reason][watchdog]") {
  const Reason watchdog(Reason::Kind::watchdog);
  CHECK(reason_of(killed_by(SIGABRT, true), nothing, watchdog, false) == watchdog);
  CHECK(reason_of(killed_by(SIGKILL), nothing, watchdog, false) == watchdog);  // it did not die of it in time
  CHECK(reason_of(killed_by(SIGABRT), nothing, shutdown_, false) == Reason::signal(SIGABRT));
  CHECK(reason_of(killed_by(SIGSEGV), nothing, watchdog, false) == Reason::signal(SIGSEGV));
}

TEST_CASE("a plain program ends normally with 0, and as it was told by SIGTERM", "[broker][reason]") {
  CHECK(reason_of(exited(0), nothing, nothing, true) == Reason::normal());
  CHECK(reason_of(exited(0), nothing, shutdown_, true) == *shutdown_);
  CHECK(reason_of(exited(2), nothing, shutdown_, true) == Reason::code(2));
  CHECK(reason_of(killed_by(SIGTERM), nothing, shutdown_, true) == *shutdown_);
  CHECK(reason_of(killed_by(SIGTERM), nothing, nothing, true) == Reason::signal(SIGTERM));
}

TEST_CASE("where somebody else has waited for it, the account or the sentence counts", "[broker][reason]") {
  CHECK(reason_of({}, done, shutdown_, false) == *done);
  CHECK(reason_of({}, nothing, shutdown_, false) == *shutdown_);
  CHECK(reason_of({}, nothing, nothing, false) == Reason::killed());
}

TEST_CASE("what only the kernel and the broker can know is, when a muproc says it, a value that it exits with",
          "[reason]") {
  using Kind = Reason::Kind;
  for (const Reason& theirs : {Reason::signal(SIGSEGV, true), Reason::code(0), Reason(Kind::watchdog),
                               Reason(Kind::out_of_memory), Reason::corrupt_message("a header that cannot be")}) {
    const Reason said = wire::as_said(theirs);
    CHECK(said.is(Kind::exit));
    CHECK(said.value().as<Reason>() == theirs);
    CHECK(wire::as_said(said) == said);
  }
  for (const Reason& own : {Reason::normal(), Reason::exit("done"), Reason::exception("Oops", "oh"), Reason::shutdown(),
                            Reason::linked("a", Pid(0, 1, 1), Reason::signal(SIGSEGV))})
    CHECK(wire::as_said(own) == own);
}
