// Why a muproc ended, as a value.
#include <muproc/reason.hpp>

#include <csignal>
#include <string>

#include "support/catch.hpp"
#include "support/printing.hpp"

using namespace muproc;
using namespace muproc::literals;
using Kind = Reason::Kind;

TEST_CASE("reasons print as a person would say them", "[reason]") {
  CHECK(to_string(Reason()) == "normal");
  CHECK(to_string(Reason::normal()) == "normal");
  CHECK(to_string(Reason::exit("too-many-restarts")) == "exit: \"too-many-restarts\"");
  CHECK(to_string(Reason::exit("done"_sym)) == "exit: done");
  CHECK(to_string(Reason::exit(42)) == "exit: 42");
  CHECK(to_string(Reason::exit({})) == "exit: nil");
  CHECK(to_string(Reason::killed()) == "killed");
  CHECK(to_string(Reason::signal(SIGSEGV)) == "signal SIGSEGV");
  CHECK(to_string(Reason::signal(SIGSEGV, true)) == "signal SIGSEGV (core dumped)");
  CHECK(to_string(Reason::signal(200)) == "signal 200");
  CHECK(to_string(Reason::code(3)) == "code 3");
  CHECK(to_string(Reason::exception("std::runtime_error", "no luck")) == "exception std::runtime_error: no luck");
  CHECK(to_string(Reason::shutdown()) == "shutdown");
  CHECK(to_string(Reason(Kind::watchdog)) == "watchdog");
  CHECK(to_string(Reason(Kind::out_of_memory)) == "out_of_memory");
  CHECK(to_string(Reason::corrupt_message("")) == "corrupt_message");
  CHECK(to_string(Reason::corrupt_message("a bad header")) == "corrupt_message: a bad header");
  CHECK(to_string(Reason::start_failed("no such file")) == "start_failed: no such file");
  CHECK(to_string(Reason::start_failed(Reason::signal(SIGABRT))) == "start_failed: signal SIGABRT");
  CHECK(to_string(Reason::broker_lost()) == "broker_lost");
  CHECK(to_string(Reason::noproc()) == "noproc");
}

TEST_CASE("a reason that rippled through links says through whom", "[reason]") {
  const Reason reason = Reason::linked("ch-2", Pid(0, 4, 1), Reason::linked("ch-1", Pid(0, 3, 1), Reason::exit("done"_sym)));
  CHECK(to_string(reason) == "linked to ch-2 <0.4.1>: linked to ch-1 <0.3.1>: exit: done");
  CHECK(reason.name() == "ch-2");
  CHECK(reason.pid() == Pid(0, 4, 1));
  CHECK(reason.cause()->name() == "ch-1");
  CHECK(reason.root_cause() == Reason::exit("done"_sym));
  CHECK(Reason::killed().root_cause() == Reason::killed());
}

TEST_CASE("a reason compares with text: an exit by its value, the others by their word", "[reason]") {
  CHECK(Reason::exit("received-quit-cmd") == "received-quit-cmd");
  CHECK(Reason::exit("received-quit-cmd"_sym) == "received-quit-cmd");
  CHECK_FALSE(Reason::exit("a") == "b");
  CHECK_FALSE(Reason::exit(42) == "42");
  CHECK(Reason::normal() == "normal");
  CHECK(Reason::killed() == "killed");
  CHECK(Reason::signal(SIGSEGV) == "signal");
  CHECK_FALSE(Reason::exit("x") == "exit");
}

TEST_CASE("what a muproc says of itself is never mistaken for what the kernel reports", "[reason]") {
  CHECK(Reason::exit("killed") != Reason::killed());
  CHECK(Reason::exit("normal") != Reason::normal());
  CHECK(Reason::code(0) != Reason::normal());
  CHECK(Reason::code(11) != Reason::signal(11));
  CHECK(Reason::signal(9) != Reason::killed());
}

TEST_CASE("reasons compare by all their parts", "[reason]") {
  CHECK(Reason::signal(11, true) != Reason::signal(11, false));
  CHECK(Reason::exception("a", "b") != Reason::exception("a", "c"));
  CHECK(Reason::exception("a", "b") != Reason::exception("b", "b"));
  CHECK(Reason::linked("x", Pid(0, 1, 1), Reason::killed()) == Reason::linked("x", Pid(0, 1, 1), Reason::killed()));
  CHECK(Reason::linked("x", Pid(0, 1, 1), Reason::killed()) != Reason::linked("x", Pid(0, 1, 1), Reason::normal()));
  CHECK(Reason::linked("x", Pid(0, 1, 1), Reason::killed()) != Reason::linked("x", Pid(0, 1, 2), Reason::killed()));
  CHECK(Reason::start_failed("x") != Reason::start_failed(Reason::killed()));
}

TEST_CASE("every kind has its word", "[reason]") {
  for (auto kind = std::uint16_t{0}; kind <= static_cast<std::uint16_t>(Kind::noproc); ++kind)
    CHECK(to_string(static_cast<Kind>(kind)) != "?");
}

TEST_CASE("an exit signal is no std::exception, so that nobody catches it by mistake", "[reason]") {
  STATIC_REQUIRE_FALSE(std::is_base_of_v<std::exception, ExitSignal>);
}
