// The client's side of a generic server: stubs that call its member functions across processes.
//
//     inline constexpr Call<&Counter::add> add{"add"};
//     inline constexpr Cast<&Counter::reset> reset{"reset"};
//
//     std::int64_t v = add(self, "counter", 5);            // waits, five seconds at most; throws CallError
//     v = add.within(2s)(self, "counter", 5);
//     reset(self, "counter");                              // does not wait
//
//     auto first = add.send_request(self, "counter", 5);   // asks, and waits later: see request.hpp
//     auto all = add.multi_call(self, {"counter-1", "counter-2"}, 5);
//
// A server is a pid or a name; it may be left out when the stub names a default one. What arguments and results may be:
// carry.hpp. Moreover a parameter may be a Cap'n Proto `T::Reader`: the caller gives a reader, which is copied into the
// message, or a function of a `T::Builder`, which builds it there; a large one is read by the handler where it was built,
// and never copied. A result that is a struct comes as a Received<T>, read in the same way.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <muproc/call_error.hpp>
#include <muproc/detail/signature.hpp>
#include <muproc/request.hpp>
#include <muproc/self.hpp>

namespace muproc {
namespace detail {

// ---- one argument or result on its way ----

/// An argument that is a struct: a reader of one, or a function that builds one. For the duration of the call.
template <class T>
class StructGiven {
 public:
  StructGiven(typename T::Reader reader) : reader_(reader), argument_{capnp::typeId<T>(), &copy, this} {}
  StructGiven(const Received<T>& received) : StructGiven(received.get()) {}
  template <class Build>
    requires std::is_invocable_v<Build&, typename T::Builder>
  StructGiven(Build&& build)
      : argument_{capnp::typeId<T>(),
                  [](const void* context, capnp::AnyPointer::Builder to) {
                    (*static_cast<std::remove_reference_t<Build>*>(const_cast<void*>(context)))(to.template initAs<T>());
                  },
                  std::addressof(build)} {}
  StructGiven(const StructGiven&) = delete;
  StructGiven& operator=(const StructGiven&) = delete;
  FieldArgument argument() const { return argument_; }

 private:
  static void copy(const void* context, capnp::AnyPointer::Builder to) {
    to.template setAs<T>(static_cast<const StructGiven*>(context)->reader_);
  }
  typename T::Reader reader_;
  StructArgument argument_;
};

/// What a stub takes for a handler's parameter.
template <class A>
struct TakenFor {
  using Type = A;
};
template <StructReader A>
struct TakenFor<A> {
  using Type = StructGiven<typename A::Reads>;
};
template <class A>
using Taken = typename TakenFor<A>::Type;

/// Keeps what a FieldArgument refers to.
template <class T>
class Given {
  static constexpr bool k_simple = !k_is_wide_unsigned<T> &&
                                   (std::is_arithmetic_v<T> || k_is_view<T> || std::is_same_v<T, std::string> ||
                                    std::is_same_v<T, Symbol> || std::is_same_v<T, Data> || std::is_same_v<T, Pid> ||
                                    std::is_same_v<T, Value>);

 public:
  explicit Given(const T& object) : kept_(convert(object)) {}
  FieldArgument argument() const {
    if constexpr (std::is_same_v<T, Data>) {
      return FieldArgument(std::span<const std::byte>(kept_));
    } else {
      return FieldArgument(kept_);
    }
  }

 private:
  using Kept = std::conditional_t<k_simple, const T&, Value>;
  static Kept convert(const T& object) {
    if constexpr (k_simple) {
      return object;
    } else {
      return give<T>(object);
    }
  }
  Kept kept_;
};
template <class T>
class Given<StructGiven<T>> {
 public:
  explicit Given(const StructGiven<T>& object) : object_(object) {}
  FieldArgument argument() const { return object_.argument(); }

 private:
  const StructGiven<T>& object_;
};

template <class Send, class... A>
decltype(auto) with_arguments(Send&& send, const A&... arguments) {
  return [&](const Given<A>&... given) -> decltype(auto) {
    const std::array<FieldArgument, sizeof...(A)> fields{given.argument()...};
    return send(std::span<const FieldArgument>(fields));
  }(Given<A>(arguments)...);
}

void cast(Self& self, Address server, const RequestHead& head, std::span<const FieldArgument> arguments);
[[noreturn]] void no_default_server(std::string_view name);

// ---- stubs ----

class Stub {
 public:
  constexpr std::string_view name() const { return name_; }

 protected:
  constexpr Stub(const char* name, const char* default_server)
      : name_(name), key_(field_key(name_)), default_server_(default_server) {}
  template <class Shape>
  RequestHead head_of() const {
    return {name_, request_id(key_, signature_hash<Shape>()), &signature_text<Shape>};
  }
  Address default_server() const {
    if (!default_server_) no_default_server(name_);
    return default_server_;
  }

 private:
  std::string_view name_;
  std::uint64_t key_;
  const char* default_server_;
};

template <class Shape, class Arguments = typename Shape::Arguments>
class CallStub;

template <class Shape, class... A>
class CallStub<Shape, std::tuple<A...>> : public Stub {
  static_assert(Shape::k_checked);

 public:
  using Result = ReceivedResult<typename Shape::Result>;

  Result operator()(Self& self, Address server, const Taken<A>&... arguments) const {
    return with_arguments(
        [&](std::span<const FieldArgument> fields) -> Result {
          if constexpr (std::is_void_v<Result>) {
            call(self, server, head(), fields, limit_);
          } else {
            return take_result<typename Shape::Result>(call(self, server, head(), fields, limit_), head(), server);
          }
        },
        arguments...);
  }
  Result operator()(Self& self, const Taken<A>&... arguments) const {
    return (*this)(self, default_server(), arguments...);
  }

  /// Asks, and returns at once: `wait` brings the result. Erlang: gen_server:send_request.
  Request<typename Shape::Result> send_request(Self& self, Address server, const Taken<A>&... arguments) const {
    return with_arguments(
        [&](std::span<const FieldArgument> fields) {
          return Request<typename Shape::Result>(self, server, head(), fields);
        },
        arguments...);
  }
  Request<typename Shape::Result> send_request(Self& self, const Taken<A>&... arguments) const {
    return send_request(self, default_server(), arguments...);
  }

  /// Asks several servers at once and waits for all, at most the call's limit: who answered what, and who did not and why.
  /// Never throws CallError. Erlang: gen_server:multi_call.
  MultiResult<Result> multi_call(Self& self, std::span<const Address> servers, const Taken<A>&... arguments) const {
    return with_arguments(
        [&](std::span<const FieldArgument> fields) {
          return detail::multi_call<typename Shape::Result>(self, servers, head(), fields, limit_);
        },
        arguments...);
  }
  MultiResult<Result> multi_call(Self& self, std::initializer_list<Address> servers, const Taken<A>&... arguments) const {
    return multi_call(self, std::span<const Address>(servers.begin(), servers.size()), arguments...);
  }
  /// A container of names or pids.
  template <class Servers>
    requires std::is_convertible_v<decltype(*std::begin(std::declval<const Servers&>())), Address>
  MultiResult<Result> multi_call(Self& self, const Servers& servers, const Taken<A>&... arguments) const {
    const std::vector<Address> addresses(std::begin(servers), std::end(servers));
    return multi_call(self, std::span<const Address>(addresses), arguments...);
  }

 protected:
  constexpr CallStub(const char* name, const char* default_server, std::chrono::nanoseconds limit)
      : Stub(name, default_server), limit_(limit) {}
  std::chrono::nanoseconds limit_;

 private:
  RequestHead head() const { return head_of<Shape>(); }
};

template <class Shape, class Arguments = typename Shape::Arguments>
class CastStub;

template <class Shape, class... A>
class CastStub<Shape, std::tuple<A...>> : public Stub {
  static_assert(Shape::k_checked);

 public:
  void operator()(Self& self, Address server, const Taken<A>&... arguments) const {
    with_arguments([&](std::span<const FieldArgument> fields) { cast(self, server, head_of<Shape>(), fields); }, arguments...);
  }
  void operator()(Self& self, const Taken<A>&... arguments) const { (*this)(self, default_server(), arguments...); }

 protected:
  using Stub::Stub;
};

}  // namespace detail

/// A call of a server's member function: `add(self, server, arguments…)` is the handler's result. The server is a pid or
/// a name; it may be left out when the stub names a default one. Throws CallError. Erlang: gen_server:call. cl-muproc: a
/// call handler's client functions NAME* and NAME.
template <auto Handler>
class Call : public detail::CallStub<detail::CallShape<decltype(Handler)>> {
 public:
  constexpr explicit Call(const char* name, const char* default_server = nullptr)
      : detail::CallStub<detail::CallShape<decltype(Handler)>>(name, default_server, k_call_timeout) {}
  /// The same with another limit of time; std::chrono::nanoseconds::max() is none.
  constexpr Call within(std::chrono::nanoseconds limit) const {
    Call other = *this;
    other.limit_ = limit;
    return other;
  }
};

/// The same without an answer: sent, and that is all. To the dead: dropped. Throws NoSuchName when nobody has that name.
/// Erlang: gen_server:cast. cl-muproc: a cast handler's client functions.
template <auto Handler>
class Cast : public detail::CastStub<detail::CastShape<decltype(Handler)>> {
 public:
  constexpr explicit Cast(const char* name, const char* default_server = nullptr)
      : detail::CastStub<detail::CastShape<decltype(Handler)>>(name, default_server) {}
};

}  // namespace muproc
