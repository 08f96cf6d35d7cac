// Calls in flight: asked now, waited for later, many at a time.
//
//     auto first = add.send_request(self, "counter", 1);
//     auto second = add.send_request(self, "other", 2);
//     if (auto which = wait_any(1s, first, second)) …   // 0 or 1: whose outcome is known
//     std::int64_t v = first.wait(2s);                   // its result; throws CallError
//
// A Request that is destroyed, or whose `wait` ran out of time, is given up: its answer never reaches the mailbox. The
// server handles it all the same. Messages that arrive while one waits stay for later.
//
// Erlang: gen_server:send_request, receive_response and wait_response.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <muproc/call_error.hpp>
#include <muproc/detail/signature.hpp>
#include <muproc/message.hpp>
#include <muproc/self.hpp>

namespace muproc {

/// A Cap'n Proto struct that came as a result. It keeps the message that it lies in; a large one is still in the memory
/// of who sent it, who gets that memory back when this is destroyed. Move-only.
template <class T>
class Received {
 public:
  using Reader = typename T::Reader;
  /// Valid as long as this lives.
  Reader get() const { return reader_; }
  operator Reader() const { return reader_; }
  const Reader* operator->() const { return &reader_; }
  const Reader& operator*() const { return reader_; }

  Received(Message message, Reader reader) : message_(std::move(message)), reader_(reader) {}

 private:
  Message message_;
  Reader reader_;
};

namespace detail {

/// What identifies a handler in a request: its name, and what it takes and gives. 0 and 1 are not handlers'.
constexpr std::uint64_t request_id(std::uint64_t name_key, std::uint64_t signature) {
  const std::uint64_t id = (name_key ^ signature >> 32) * 0x9e3779b97f4a7c15 ^ signature;
  return id > 1 ? id : id + 2;
}
struct RequestHead {
  std::string_view name;
  std::uint64_t id = 0;
  std::string (*describe)() = nullptr;
};

struct Answered {
  Message message;  // what the value is read from
  FieldView value;
};

/// As texts say it: the name, or the pid.
std::string address_text(Address address);

/// Throws CallError.
Answered call(Self& self, Address server, const RequestHead& head, std::span<const FieldArgument> arguments,
              std::chrono::nanoseconds limit);
/// What came back does not fit, although the signatures agree.
[[noreturn]] void bad_answer(const RequestHead& head, Address server, const char* what);

template <class T>
T take_field(const FieldView& field) {
  if constexpr (k_is_view<T> || StructReader<T> ||
                (PlainValue<T> && !std::is_enum_v<T> && !k_is_wide_unsigned<T>)) {
    return field.as<T>();
  } else {
    return take<T>(field.value());
  }
}

template <class R>
struct ReceivedAs {
  using Type = R;
};
template <>
struct ReceivedAs<std::string_view> {
  using Type = std::string;
};
template <>
struct ReceivedAs<std::span<const std::byte>> {
  using Type = Data;
};
template <class R>
  requires Struct<R>
struct ReceivedAs<R> {
  using Type = Received<R>;
};
/// What a result is at the caller: what the server merely points to is the caller's own.
template <class R>
using ReceivedResult = typename ReceivedAs<R>::Type;

template <class R>
ReceivedResult<R> take_result(Answered answer, const RequestHead& head, Address server) {
  try {
    if constexpr (Struct<R>) {
      const auto reader = answer.value.as<typename R::Reader>();
      return Received<R>(std::move(answer.message), reader);
    } else if constexpr (!std::is_void_v<R>) {
      return take_field<ReceivedResult<R>>(answer.value);
    }
  } catch (const ValueError& error) {
    bad_answer(head, server, error.what());
  }
}

/// The part of a Request that does not depend on its result.
class AnyRequest {
 public:
  AnyRequest(AnyRequest&& other) noexcept
      : self_(std::exchange(other.self_, nullptr)), head_(other.head_), server_(std::move(other.server_)), ref_(other.ref_) {}
  AnyRequest& operator=(AnyRequest&& other) noexcept;
  ~AnyRequest() { give_up(); }

  /// False when it has been waited for, or was moved from.
  bool in_flight() const { return self_ != nullptr; }
  /// Waits until its outcome is known, at most `limit`; true when it is. It stays in flight. Erlang: wait_response.
  bool ready(std::chrono::nanoseconds limit = std::chrono::nanoseconds(0));
  /// Its server as it was named, for texts.
  const std::string& server() const { return server_; }

  /// Of those in flight, the place of the first whose outcome is known; nothing when there is none in time.
  static std::optional<std::size_t> any(std::span<AnyRequest* const> requests, std::chrono::nanoseconds limit);

 protected:
  AnyRequest(Self& self, Address server, const RequestHead& head, std::span<const FieldArgument> arguments);
  Answered take(std::chrono::nanoseconds limit);
  void give_up() noexcept;

  Self* self_;
  RequestHead head_;
  std::string server_;
  std::uint64_t ref_ = 0;
};

}  // namespace detail

/// A call in flight, whose result is an R. Move-only; belongs to the muproc that asked, which must outlive it.
template <class R>
class [[nodiscard]] Request : public detail::AnyRequest {
 public:
  using Result = detail::ReceivedResult<R>;
  /// Throws CallError{noproc} when nobody has that name.
  Request(Self& self, Address server, const detail::RequestHead& head, std::span<const detail::FieldArgument> arguments)
      : AnyRequest(self, server, head, arguments) {}
  /// Its result, once it is there. Throws CallError, with `timeout` after `limit`; whatever comes out, the request is
  /// spent. Erlang: gen_server:receive_response.
  Result wait(std::chrono::nanoseconds limit = k_call_timeout) {
    const detail::RequestHead head = head_;
    const std::string server = server_;
    return detail::take_result<R>(take(limit), head, server);
  }
};

/// Waits until the outcome of one of these is known, at most `limit`: its place, counted from 0. Those that were waited for
/// already do not count; when none is left: nothing, at once.
template <class... R>
std::optional<std::size_t> wait_any(std::chrono::nanoseconds limit, Request<R>&... requests) {
  detail::AnyRequest* const all[] = {&requests...};
  return detail::AnyRequest::any(all, limit);
}
template <class R>
std::optional<std::size_t> wait_any(std::chrono::nanoseconds limit, std::vector<Request<R>>& requests) {
  std::vector<detail::AnyRequest*> all;
  all.reserve(requests.size());
  for (auto& request : requests) all.push_back(&request);
  return detail::AnyRequest::any(all, limit);
}

/// What several servers said. A void result is a std::monostate.
template <class Result>
struct MultiResult {
  struct Reply {
    std::size_t index;   ///< in the list of servers
    std::string server;  ///< as it was named; a pid as text
    std::conditional_t<std::is_void_v<Result>, std::monostate, Result> value;
  };
  struct Failure {
    std::size_t index;
    std::string server;
    CallError error;
  };
  std::vector<Reply> replies;
  std::vector<Failure> failures;
};

namespace detail {

/// In a handler of `catch`: a request that could not even be sent, as a CallError.
CallError unsent(const RequestHead& head, Address server);
/// A limit as a moment of the monotonic clock, and what is left until then; max() is no limit.
std::chrono::nanoseconds deadline_in(std::chrono::nanoseconds limit);
std::chrono::nanoseconds left_until(std::chrono::nanoseconds deadline);

template <class R>
MultiResult<ReceivedResult<R>> multi_call(Self& self, std::span<const Address> servers, const RequestHead& head,
                                          std::span<const FieldArgument> arguments, std::chrono::nanoseconds limit) {
  const auto deadline = deadline_in(limit);
  MultiResult<ReceivedResult<R>> result;
  std::vector<std::pair<std::size_t, Request<R>>> requests;
  for (std::size_t i = 0; i < servers.size(); ++i) {
    try {
      requests.emplace_back(i, Request<R>(self, servers[i], head, arguments));
    } catch (const std::exception&) {
      CallError error = unsent(head, servers[i]);
      result.failures.push_back({i, address_text(servers[i]), std::move(error)});
    }
  }
  for (auto& [index, request] : requests) {
    const std::string server = request.server();
    try {
      if constexpr (std::is_void_v<R>) {
        request.wait(left_until(deadline));
        result.replies.push_back({index, server, {}});
      } else {
        result.replies.push_back({index, server, request.wait(left_until(deadline))});
      }
    } catch (const CallError& error) {
      result.failures.push_back({index, server, error});
    }
  }
  return result;
}

}  // namespace detail
}  // namespace muproc
