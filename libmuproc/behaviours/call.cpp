// The client's side: requests go out, outcomes come back. The out-of-line half of call.hpp and request.hpp.
#include "behaviours/call.hpp"

#include <muproc/call.hpp>
#include <muproc/request.hpp>

#include <stdexcept>

#include "behaviours/lease.hpp"
#include "behaviours/request.hpp"
#include "runtime/arguments.hpp"
#include "runtime/failure.hpp"
#include "runtime/runtime.hpp"
#include "sys/clock.hpp"
#include "wire/server.capnp.h"

namespace muproc::detail {

std::string address_text(Address address) {
  return address.is_name() ? std::string(address.name()) : to_string(address.pid());
}

void no_default_server(std::string_view name) {
  throw std::logic_error(std::string(name) + " has no default server: say which one is meant");
}

namespace {

CallError failed(CallError::Kind kind, std::string_view name, const std::string& server, const std::string& why,
                 Reason reason) {
  return {kind, "call of " + std::string(name) + " at " + server + ": " + why, std::move(reason)};
}

void write_request(wire::Request::Builder to, const RequestHead& head, std::span<const FieldArgument> arguments) {
  put([&](unsigned size) { return to.initName(size); }, head.name);
  to.setId(head.id);
  auto fields = to.initFields(static_cast<unsigned>(arguments.size()));
  for (unsigned i = 0; i < arguments.size(); ++i) {
    fields[i].setKey(argument_key(i));
    write(fields[i], arguments[i]);
  }
}

/// Its reference. Throws CallError{noproc} when nobody has that name.
std::uint64_t send_request(Self& self, Address server, const RequestHead& head, std::span<const FieldArgument> arguments) {
  Runtime& runtime = Runtime::of(self);
  try {
    const Pid target = runtime.resolve(server);
    if (target == self.pid())
      throw std::logic_error("call of " + std::string(head.name) + " at " + address_text(server) +
                             ": a server cannot call itself");
    if (const std::size_t words = plain_request_words(head.name, arguments)) {
      const auto write = [&](std::byte* to) { write_plain_request(to, head.name, head.id, arguments); };
      if (const auto ref = runtime.begin_call_at_once(target, capnp::typeId<wire::Request>(), words, write)) return *ref;
    }
    Lease lease(runtime);
    write_request(lease.builder().initRoot<wire::Request>(), head, arguments);
    return runtime.begin_call(target, *lease, capnp::typeId<wire::Request>());
  } catch (const NoSuchName& nobody) {
    runtime.note_nobody(server, Message::Kind::call, capnp::typeId<wire::Request>(), std::string(head.name));
    throw failed(CallError::Kind::noproc, head.name, address_text(server), nobody.what(), Reason::noproc());
  }
}

std::string error_text(const RequestHead& head, const Reason& error) {
  if (error.name() == k_other_signature && head.describe)
    return "the server's is " + error.what() + ", the caller's " + std::string(head.name) + head.describe() +
           ": they were built from different versions";
  return error.name() + (error.what().empty() ? "" : ": " + error.what());
}

/// The message of an outcome that is a value. Throws CallError for any other.
Message value_of(Runtime::Reply reply, const RequestHead& head, const std::string& server) {
  using Outcome = Runtime::Reply::Outcome;
  switch (reply.outcome) {
    case Outcome::value: return std::move(reply.message);
    case Outcome::error: {
      Reason error;
      try {
        reply.message.check();
        error = wire::read(reply.message.as<wire::Reason>());
      } catch (const std::exception& malformed) {
        error = Reason::exception("muproc::ValueError", malformed.what());
      } catch (const kj::Exception& malformed) {
        error = Reason::exception("muproc::ValueError", malformed.getDescription().cStr());
      }
      if (error.is(Reason::Kind::exception))
        throw failed(CallError::Kind::error, head.name, server, error_text(head, error), error);
      throw failed(CallError::Kind::down, head.name, server, "it was a server no longer: " + to_string(error), error);
    }
    case Outcome::down:
      if (reply.reason.is(Reason::Kind::noproc))
        throw failed(CallError::Kind::noproc, head.name, server, "it has ended", std::move(reply.reason));
      throw failed(CallError::Kind::down, head.name, server, "it ended meanwhile: " + to_string(reply.reason),
                   reply.reason);
    case Outcome::timeout: break;
  }
  throw failed(CallError::Kind::timeout, head.name, server, "no answer in time", {});
}

Answered answered(Message message, const RequestHead& head, Address server) {
  Answered answer{std::move(message), {}};
  const std::uint64_t key = argument_key(0);
  const auto find = [&] { return answer.message.is_mumsg() && answer.message.mumsg().find_all(&key, &answer.value, 1); };
  try {
    answer.message.check();
    if (find()) {
      if (answer.value.kind() != Value::Kind::structure) return answer;
      answer.message = Runtime::kept(std::move(answer.message));  // the caller's, for as long as it likes
      if (find()) return answer;
    }
  } catch (const kj::Exception& malformed) {
    bad_answer(head, server, malformed.getDescription().cStr());
  }
  bad_answer(head, server, "it holds no value");
}

std::optional<Runtime::Time> deadline_after(std::chrono::nanoseconds limit) {
  const auto now = sys::monotonic();
  return limit < std::chrono::nanoseconds::max() - now ? std::optional(now + limit) : std::nullopt;
}

}  // namespace

Message ask(Self& self, Address server, const RequestHead& head, std::span<const FieldArgument> arguments,
            std::chrono::nanoseconds limit) {
  const auto deadline = deadline_after(limit);
  const std::uint64_t ref = send_request(self, server, head, arguments);
  Runtime::Reply reply = Runtime::of(self).await(ref, deadline);
  if (reply.outcome == Runtime::Reply::Outcome::value) [[likely]] return std::move(reply.message);
  return value_of(std::move(reply), head, address_text(server));
}

Answered call(Self& self, Address server, const RequestHead& head, std::span<const FieldArgument> arguments,
              std::chrono::nanoseconds limit) {
  return answered(ask(self, server, head, arguments, limit), head, server);
}

void cast(Self& self, Address server, const RequestHead& head, std::span<const FieldArgument> arguments) {
  Runtime& runtime = Runtime::of(self);
  Lease lease(runtime);
  write_request(lease.builder().initRoot<wire::Request>(), head, arguments);
  runtime.send(server, *lease, capnp::typeId<wire::Request>(), {}, Message::Kind::cast, 0);
}

void bad_answer(const RequestHead& head, Address server, const char* what) {
  throw failed(CallError::Kind::error, head.name, address_text(server), std::string("an answer that does not fit: ") + what,
               Reason::exception("muproc::ValueError", what));
}

// ---- calls in flight -------------------------------------------------------------------------------------------------

AnyRequest::AnyRequest(Self& self, Address server, const RequestHead& head, std::span<const FieldArgument> arguments)
    : self_(&self), head_(head), server_(address_text(server)) {
  ref_ = send_request(self, server, head, arguments);
}

AnyRequest& AnyRequest::operator=(AnyRequest&& other) noexcept {
  if (this == &other) return *this;
  give_up();
  self_ = std::exchange(other.self_, nullptr);
  head_ = other.head_;
  server_ = std::move(other.server_);
  ref_ = other.ref_;
  return *this;
}

void AnyRequest::give_up() noexcept {
  if (std::exchange(self_, nullptr) && Runtime::current()) Runtime::current()->forget_call(ref_);
}

bool AnyRequest::ready(std::chrono::nanoseconds limit) {
  AnyRequest* const all[] = {this};
  return any(all, limit).has_value();
}

std::optional<std::size_t> AnyRequest::any(std::span<AnyRequest* const> requests, std::chrono::nanoseconds limit) {
  std::vector<std::uint64_t> refs;
  std::vector<std::size_t> places;
  Self* self = nullptr;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (!requests[i]->in_flight()) continue;
    self = requests[i]->self_;
    refs.push_back(requests[i]->ref_);
    places.push_back(i);
  }
  if (!self) return std::nullopt;
  const auto found = Runtime::of(*self).await_any(refs, deadline_after(limit));
  return found ? std::optional(places[*found]) : std::nullopt;
}

Answered AnyRequest::take(std::chrono::nanoseconds limit) {
  if (!in_flight()) throw std::logic_error("the request of " + std::string(head_.name) + " has been waited for already");
  Runtime& runtime = Runtime::of(*std::exchange(self_, nullptr));
  return answered(value_of(runtime.await(ref_, deadline_after(limit)), head_, server_), head_, server_);
}

CallError unsent(const RequestHead& head, Address server) {
  try {
    throw;
  } catch (const CallError& error) {
    return error;
  } catch (const std::exception& error) {
    return failed(CallError::Kind::error, head.name, address_text(server), error.what(),
                  reason_of_current_exception());
  }
}

std::chrono::nanoseconds left_until(std::chrono::nanoseconds deadline) {
  if (deadline == std::chrono::nanoseconds::max()) return deadline;
  return std::max(deadline - sys::monotonic(), std::chrono::nanoseconds(0));
}

std::chrono::nanoseconds deadline_in(std::chrono::nanoseconds limit) {
  return deadline_after(limit).value_or(std::chrono::nanoseconds::max());
}

}  // namespace muproc::detail
