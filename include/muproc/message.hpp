// Messages as their receiver sees them: read in place, without copying.
//
// `FieldView` is one field of a mumsg, `MumsgView` the mumsg, `Message` the whole packet: sender, type, time, contents.
// Views live as long as their message: in a `receive` handler until the handler returns, from `receive_any` as long as
// the returned Message.
#pragma once

#include <capnp/any.h>
#include <capnp/message.h>
#include <capnp/schema.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <muproc/pid.hpp>
#include <muproc/reason.hpp>
#include <muproc/value.hpp>

namespace muproc {

namespace detail {
class Runtime;
class Inbox;
struct Body;
struct BodyRelease {
  void operator()(Body* body) const noexcept;
};
using BodyPtr = std::unique_ptr<Body, BodyRelease>;

constexpr std::uint64_t field_key(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash ? hash : 1;
}
}  // namespace detail

/// One field's value, not copied. Which types fit: an integer fits a double and any integer type that can hold it, text
/// and symbol fit each other and std::string, std::string_view and Symbol, `Value` fits all.
class FieldView {
 public:
  Value::Kind kind() const { return kind_; }
  bool is_nil() const { return kind_ == Value::Kind::nil; }

  template <class T>
  bool fits() const;
  /// The value as a T; throws ValueError where it does not fit. A std::string_view lives as long as the message.
  template <class T>
  T as() const;
  /// An owned copy.
  Value value() const;
  /// True when it holds what `other` holds; numbers compare by value, text and symbols by characters, a reason
  /// compares to text as Reason does.
  bool equals(std::string_view other) const;
  bool equals(std::int64_t other) const;
  bool equals(double other) const;
  bool equals(bool other) const { return kind_ == Value::Kind::boolean && boolean_ == other; }
  bool equals(Pid other) const { return kind_ == Value::Kind::pid && Pid(bits_) == other; }
  bool equals(std::nullptr_t) const { return is_nil(); }
  template <class T>
    requires std::is_same_v<T, Value>
  bool equals(const T& other) const {
    return value() == other;
  }
  /// Any Cap'n Proto struct that was sent as a field: its type id, 0 if this is none.
  std::uint64_t structure_type() const;

 private:
  friend class MumsgView;
  friend struct FieldReading;
  Value::Kind kind_ = Value::Kind::nil;
  union {
    bool boolean_;
    std::int64_t integer_;
    double real_;
    std::uint64_t bits_ = 0;
  };
  std::string_view text_;
  capnp::AnyStruct::Reader field_;
};

/// A set of named values inside a message.
class MumsgView {
 public:
  MumsgView() = default;
  explicit MumsgView(capnp::AnyStruct::Reader mumsg) : mumsg_(mumsg) {}

  std::optional<FieldView> find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name).has_value(); }
  /// Throws ValueError that names the field when it is not there. cl-muproc: muproc-get-field.
  FieldView operator[](std::string_view name) const;
  unsigned size() const;
  /// An owned copy of all of it.
  Mumsg value() const;

  /// Finds `count` fields by their keys at once; false when one is not there.
  bool find_all(const std::uint64_t* keys, FieldView* fields, unsigned count) const;

 private:
  capnp::AnyStruct::Reader mumsg_;
};

/// A received packet. Erlang: a message; cl-muproc: a mupacket.
class Message {
 public:
  enum class Kind : std::uint8_t { message = 1, call = 2, cast = 3, reply = 4, error = 5 };

  Message() = default;
  Message(Message&&) noexcept;
  Message& operator=(Message&&) noexcept;
  ~Message();

  /// The sender; nil when the system speaks.
  From from() const { return from_; }
  Kind kind() const { return kind_; }
  /// The Cap'n Proto type id of its contents.
  std::uint64_t type_id() const { return type_id_; }
  /// The reference of a call or reply; 0 otherwise.
  std::uint64_t ref() const { return ref_; }

  template <class T>
  bool is() const {
    return type_id_ == capnp::typeId<T>();
  }
  /// Its contents as a T; throws ValueError when it is something else. Lives as long as the message.
  template <class T>
  typename T::Reader as() const {
    if (!is<T>()) throw ValueError("the message is of another type");
    return root().template getAs<T>();
  }
  bool is_mumsg() const;
  /// Throws ValueError when it is no mumsg.
  MumsgView mumsg() const;

  /// How long ago it was sent. cl-muproc: muproc-packet-age.
  std::chrono::nanoseconds age() const;

  /// Its contents. Each pointer is checked when it is followed.
  capnp::AnyPointer::Reader root() const;
  /// Follows every pointer, once; throws kj::Exception when one leads outside. Done before a typed or `otherwise` clause
  /// takes the message, and by receive_any.
  void check() const;

 private:
  friend class detail::Runtime;
  friend class detail::Inbox;
  From from_;
  Kind kind_ = Kind::message;
  std::uint64_t type_id_ = 0;
  std::uint64_t ref_ = 0;
  std::uint64_t timestamp_ = 0;
  detail::BodyPtr body_;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class T>
bool FieldView::fits() const {
  using K = Value::Kind;
  if constexpr (std::is_same_v<T, Value> || std::is_same_v<T, FieldView>) return true;
  else if constexpr (std::is_same_v<T, bool>) return kind_ == K::boolean;
  else if constexpr (std::is_integral_v<T>) return kind_ == K::integer && std::in_range<T>(integer_);
  else if constexpr (std::is_floating_point_v<T>) return kind_ == K::real || kind_ == K::integer;
  else if constexpr (std::is_same_v<T, Symbol> || std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view>)
    return kind_ == K::symbol || kind_ == K::text;
  else if constexpr (std::is_same_v<T, Pid>) return kind_ == K::pid;
  else if constexpr (std::is_same_v<T, Reason>) return kind_ == K::reason;
  else if constexpr (std::is_same_v<T, Data>) return kind_ == K::data;
  else if constexpr (std::is_same_v<T, List>) return kind_ == K::list;
  else if constexpr (std::is_same_v<T, Mumsg>) return kind_ == K::mumsg;
  else if constexpr (std::is_same_v<T, StructValue>) return kind_ == K::structure;
  else static_assert(!sizeof(T), "a mumsg's field cannot be read as this type");
}

template <class T>
T FieldView::as() const {
  if (!fits<T>())
    throw ValueError("a field of kind " + std::string(to_string(kind_)) + " does not fit what was asked for");
  if constexpr (std::is_same_v<T, FieldView>) return *this;
  else if constexpr (std::is_same_v<T, bool>) return boolean_;
  else if constexpr (std::is_integral_v<T>) return static_cast<T>(integer_);
  else if constexpr (std::is_floating_point_v<T>)
    return static_cast<T>(kind_ == Value::Kind::real ? real_ : static_cast<double>(integer_));
  else if constexpr (std::is_same_v<T, Symbol> || std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view>)
    return T(text_);
  else if constexpr (std::is_same_v<T, Pid>) return Pid(bits_);
  else if constexpr (std::is_same_v<T, Value>) return value();
  else return value().as<T>();
}

}  // namespace muproc
