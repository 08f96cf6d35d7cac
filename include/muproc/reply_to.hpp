// The answer to a call, given whenever it is ready.
//
//     struct Lock {
//       void acquire(ReplyTo<int> reply) { waiting.push_back(std::move(reply)); }   // the caller waits …
//       void release() { if (!waiting.empty()) waiting.front()(42), waiting.pop_front(); }   // … until here
//       std::deque<ReplyTo<int>> waiting;
//     };
//     inline constexpr Call<&Lock::acquire> acquire{"acquire"};                       // int acquire(self, server)
//
// A handler that takes a ReplyTo<R> first returns nothing; what the ReplyTo is called with is the call's result. In a
// generic server one that is destroyed without an answer answers with an error, so nobody waits for what was forgotten;
// when the server ends, those who wait hear of that instead.
//
// Another muproc may answer: `hand_to(worker)` tells the caller that it now waits for the worker, and gives a ReplyTo
// that can be an argument of a cast to the worker. If the worker dies, the caller hears of that.
//
// Erlang: From in handle_call, {noreply, …} and gen_server:reply.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <type_traits>
#include <utility>

#include <muproc/call.hpp>

namespace muproc {
namespace detail {

/// Where a call's value goes.
class Answer {
 public:
  Answer(Self& self, Pid to, std::uint64_t ref) : self_(self), to_(to), ref_(ref) {}
  void value(const FieldArgument& value);
  void nothing() { value(nullptr); }
  void error(const Reason& reason);
  /// Tells the caller that another one will answer.
  void handed(Pid who_answers);

  Self& self() const { return self_; }
  Pid to() const { return to_; }
  std::uint64_t ref() const { return ref_; }

 private:
  Self& self_;
  Pid to_;
  std::uint64_t ref_;
};

/// The part of a ReplyTo that does not depend on its type. Move-only.
class AnyReplyTo {
 public:
  AnyReplyTo() = default;
  explicit AnyReplyTo(const Answer& answer) : self_(&answer.self()), client_(answer.to()), ref_(answer.ref()) {}
  AnyReplyTo(AnyReplyTo&& other) noexcept
      : self_(std::exchange(other.self_, nullptr)), client_(other.client_), ref_(other.ref_),
        for_(std::exchange(other.for_, nil_pid)) {}
  AnyReplyTo& operator=(AnyReplyTo&& other) noexcept;
  ~AnyReplyTo() { drop(); }

  /// True while an answer is owed.
  explicit operator bool() const { return self_ != nullptr; }
  /// Who waits.
  Pid client() const { return client_; }
  /// The caller gets a CallError{error} of this type and text; nothing when it was answered before.
  void error(const std::string& type, const std::string& what);
  /// The same from an exception, as if the handler had thrown it; the server lives.
  void error(const std::exception_ptr& exception);

  Value give() const;
  static void take(AnyReplyTo& to, const Value& value);

 protected:
  /// Throws std::logic_error when there is nothing to answer any more.
  Answer spend();
  AnyReplyTo hand(Pid who_answers);
  void drop() noexcept;

 private:
  Self* self_ = nullptr;  // null: nothing is owed, or not by us
  Pid client_;
  std::uint64_t ref_ = 0;
  Pid for_;  // handed to that one, and not sent to it yet
};

template <class R>
struct AnswerFor {
  using Type = R;
};
template <class R>
  requires Struct<R>
struct AnswerFor<R> {
  using Type = StructGiven<R>;
};
/// What an R is answered with.
template <class R>
using AnswerOf = typename AnswerFor<R>::Type;

}  // namespace detail

/// The answer that a caller waits for. R is the call's result: a value, void, or a Cap'n Proto struct.
template <class R>
class ReplyTo : public detail::AnyReplyTo {
  static_assert(std::is_void_v<R> || detail::Argument<R> || detail::Struct<R>,
                "a handler's result is of a type that cannot be carried in a message: specialise muproc::Carry");

 public:
  ReplyTo() = default;
  explicit ReplyTo(const detail::Answer& answer) : AnyReplyTo(answer) {}

  /// Answers. A struct is given as a reader, or as a function of its builder, and is built in the answer itself. To a
  /// caller that has given up, or has ended: dropped there. A second answer does nothing.
  template <class T>
    requires(!std::is_void_v<R> && std::is_constructible_v<detail::AnswerOf<R>, T>)
  void operator()(T&& value) {
    const detail::AnswerOf<R> answer(std::forward<T>(value));
    const detail::Given<detail::AnswerOf<R>> given(answer);
    const detail::FieldArgument argument = given.argument();
    if (*this) spend().value(argument);
  }
  void operator()()
    requires std::is_void_v<R>
  {
    if (*this) spend().nothing();
  }
  /// Tells the caller that `who_answers` will answer; the ReplyTo that comes back is for it alone, as an argument of a
  /// cast or call. Throws std::logic_error when it was answered before.
  [[nodiscard]] ReplyTo hand_to(Pid who_answers) {
    ReplyTo handed;
    static_cast<AnyReplyTo&>(handed) = hand(who_answers);
    return handed;
  }
};

template <class R>
struct Carry<ReplyTo<R>> {
  static Value give(const ReplyTo<R>& reply) { return reply.give(); }
  static ReplyTo<R> take(const Value& value) {
    ReplyTo<R> reply;
    detail::AnyReplyTo::take(reply, value);
    return reply;
  }
  template <class Out>
  static constexpr void describe(Out& out) {
    out.add("reply of ");
    detail::describe_argument<R>(out);
  }
};

}  // namespace muproc
