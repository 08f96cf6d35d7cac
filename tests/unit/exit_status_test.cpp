// What an end is put down to.
#include "broker/exit_status.hpp"

#include <csignal>

#include "support/catch.hpp"
#include "support/printing.hpp"

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
