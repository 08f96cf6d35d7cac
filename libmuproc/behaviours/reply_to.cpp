// Answers, now or later: the out-of-line half of reply_to.hpp.
#include <muproc/reply_to.hpp>

#include <exception>
#include <stdexcept>

#include "behaviours/lease.hpp"
#include "behaviours/request.hpp"
#include "behaviours/server_run.hpp"
#include "runtime/arguments.hpp"
#include "runtime/failure.hpp"
#include "runtime/runtime.hpp"
#include "wire/server.capnp.h"

namespace muproc::detail {

void Answer::value(const FieldArgument& value) {
  Runtime& runtime = Runtime::of(self_);
  if (const std::size_t words = plain_answer_words(value)) {
    const auto write = [&](std::byte* to) { write_plain_answer(to, value); };
    if (runtime.send_at_once(to_, capnp::typeId<wire::Mumsg>(), Message::Kind::reply, ref_, words, write)) return;
  }
  Lease lease(runtime);
  auto field = lease.builder().initRoot<wire::Mumsg>().initFields(1)[0];
  field.setKey(argument_key(0));
  write(field, value);
  runtime.send(to_, *lease, capnp::typeId<wire::Mumsg>(), {}, Message::Kind::reply, ref_);
}

void Answer::error(const Reason& reason) {
  Runtime& runtime = Runtime::of(self_);
  Lease lease(runtime);
  wire::write(lease.builder().initRoot<wire::Reason>(), reason);
  runtime.send(to_, *lease, capnp::typeId<wire::Reason>(), {}, Message::Kind::error, ref_);
}

void Answer::handed(Pid who_answers) {
  Runtime& runtime = Runtime::of(self_);
  Lease lease(runtime);
  lease.builder().initRoot<wire::HandedOver>().setTo(who_answers.bits());
  runtime.send(to_, *lease, capnp::typeId<wire::HandedOver>(), {}, Message::Kind::reply, ref_);
}

AnyReplyTo& AnyReplyTo::operator=(AnyReplyTo&& other) noexcept {
  if (this == &other) return *this;
  drop();
  self_ = std::exchange(other.self_, nullptr);
  client_ = other.client_;
  ref_ = other.ref_;
  for_ = std::exchange(other.for_, nil_pid);
  return *this;
}

Answer AnyReplyTo::spend() {
  if (!self_) throw std::logic_error("there is no answer owed here: it was given, or handed to another");
  return Answer(*std::exchange(self_, nullptr), client_, ref_);
}

void AnyReplyTo::error(const std::string& type, const std::string& what) {
  if (*this) spend().error(Reason::exception(type, what));
}

void AnyReplyTo::error(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (...) {
    if (*this) spend().error(reason_of_current_exception());
  }
}

AnyReplyTo AnyReplyTo::hand(Pid who_answers) {
  AnyReplyTo handed;
  handed.client_ = client_;
  handed.ref_ = ref_;
  handed.for_ = who_answers;
  spend().handed(who_answers);
  return handed;
}

/// In a generic server nobody is to wait for what was forgotten. While something is thrown, or the muproc ends with its
/// server, the callers are about to hear of that.
void AnyReplyTo::drop() noexcept {
  if (!self_ || !Runtime::current() || std::uncaught_exceptions() > 0) return;
  const ServerRun* server = ServerRun::of(*self_);
  if (!server || server->muproc_ends()) return;
  try {
    if (server->end) {
      spend().error(*server->end);
    } else {
      spend().error(Reason::exception("muproc::NoAnswer", "the call was dropped without an answer"));
    }
  } catch (...) {
    // The broker has gone, or an exit signal acts here: it is thrown again by the next runtime call.
  }
}

Value AnyReplyTo::give() const {
  if (!for_) throw std::logic_error("a ReplyTo travels only to whom it was handed: see hand_to");
  return List{client_, static_cast<std::int64_t>(ref_), for_};
}

void AnyReplyTo::take(AnyReplyTo& to, const Value& value) {
  const List& parts = expect_list(value, 3);
  Runtime* runtime = Runtime::current();
  if (!runtime || parts[2].as<Pid>() != runtime->kit().pid) throw ValueError("a ReplyTo that was handed to another");
  to.self_ = &runtime->self();
  to.client_ = parts[0].as<Pid>();
  to.ref_ = static_cast<std::uint64_t>(parts[1].as<std::int64_t>());
}

}  // namespace muproc::detail
