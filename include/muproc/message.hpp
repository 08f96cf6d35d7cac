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
#include <cstring>
#include <memory>
#include <optional>
#include <span>
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
enum class MessageKind : std::uint64_t { message = 1, call = 2, cast = 3, reply = 4, error = 5 };

/// The type id of bare bytes (wire/mumsg.capnp).
inline constexpr std::uint64_t k_byte_message = 0xd5f09c1e62ab8347;

/// The fields of a mumsg of the usual shape, whose pointers were all checked: word by word (wire/field_words.hpp).
struct PlainFields {
  const capnp::word* first = nullptr;  // null: of another shape
  unsigned count = 0;
  std::uint64_t bits = ~std::uint64_t{0};  // see field_bit; all of them where they are not known
};

/// What is known of a received packet; the runtime's Body, which owns the contents, begins with it.
struct Envelope {
  From from;
  MessageKind kind = MessageKind::message;
  std::uint64_t type_id = 0;
  std::uint64_t ref = 0;
  std::uint64_t timestamp = 0;
  std::uint32_t redelivered = 0;
  std::uint32_t kept = 0;  // in a mailbox that is kept: under which number; 0: a successor would not get it
  // Of a message whose pointers were all checked: where they begin, and the struct that the first one leads to.
  const capnp::word* words = nullptr;
  capnp::_::StructReader structure;
  capnp::AnyPointer::Reader large_root;  // of any other
  PlainFields fields;
};
inline const Envelope k_no_envelope;

struct EnvelopeRelease {
  void operator()(Envelope* envelope) const noexcept;
};
using EnvelopePtr = std::unique_ptr<Envelope, EnvelopeRelease>;
struct Body;

constexpr std::uint64_t field_key(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash ? hash : 1;
}
/// One of 64. What has a field has its bit; so most clauses that do not match find out without looking at any field.
constexpr std::uint64_t field_bit(std::uint64_t key) { return std::uint64_t{1} << (key >> 58); }
}  // namespace detail

namespace detail {
/// The reader of a Cap'n Proto struct.
template <class T>
concept StructReader = requires { typename T::Reads; } && capnp::kind<typename T::Reads>() == capnp::Kind::STRUCT;
}  // namespace detail

/// One field's value, not copied. Which types fit: an integer fits a double and any integer type that can hold it, text
/// and symbol fit each other and std::string, std::string_view and Symbol, data fits Data and std::span<const std::byte>,
/// a struct fits its Reader, `Value` fits all.
class FieldView {
 public:
  Value::Kind kind() const { return kind_; }
  bool is_nil() const { return kind_ == Value::Kind::nil; }

  template <class T>
  bool fits() const;
  /// The value as a T; throws ValueError where it does not fit. Views and Readers live as long as the message.
  template <class T>
  T as() const;
  /// An owned copy.
  Value value() const;
  /// True when it holds what `other` holds; numbers compare by value, text and symbols by characters, a reason
  /// compares to text as Reason does.
  bool equals(std::string_view other) const;
  bool equals(const char* other) const { return equals(std::string_view(other)); }  // which would rather be a bool
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
  /// That struct where it lies in the message; null when it was sent as a StructValue, or is none.
  capnp::AnyPointer::Reader structure() const;

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
  std::string_view text_;  // or bytes
  capnp::AnyStruct::Reader field_;
};

/// A set of named values inside a message.
class MumsgView {
 public:
  MumsgView() = default;
  explicit MumsgView(capnp::AnyStruct::Reader mumsg, detail::PlainFields fields = {}) : mumsg_(mumsg), fields_(fields) {}

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
  detail::PlainFields fields_;
};

/// A received packet. Erlang: a message; cl-muproc: a mupacket.
class Message {
 public:
  using Kind = detail::MessageKind;

  Message() = default;

  /// The sender; nil when the system speaks.
  From from() const { return envelope().from; }
  Kind kind() const { return envelope().kind; }
  /// The Cap'n Proto type id of its contents.
  std::uint64_t type_id() const { return envelope().type_id; }
  /// The reference of a call or reply; 0 otherwise.
  std::uint64_t ref() const { return envelope().ref; }

  /// So many of this muproc's predecessors died while they were handling it: more than 0 only in a mailbox with
  /// `on_restart = keep` and `in_hand = redeliver`, and at most 3. What they did may have been done already.
  unsigned redelivered() const { return envelope().redelivered; }

  template <class T>
  bool is() const {
    return type_id() == capnp::typeId<T>();
  }
  /// Its contents as a T; throws ValueError when it is something else. Lives as long as the message.
  template <class T>
  typename T::Reader as() const {
    if (!is<T>()) throw ValueError("the message is of another type");
    const detail::Envelope& contents = envelope();
    return contents.words ? typename T::Reader(contents.structure) : contents.large_root.template getAs<T>();
  }
  bool is_mumsg() const;
  /// Throws ValueError when it is no mumsg.
  MumsgView mumsg() const;

  /// True when it is bare bytes: what `send(to, bytes)` sends.
  bool is_bytes() const { return type_id() == detail::k_byte_message; }
  /// Those bytes; they live as long as the message. Throws ValueError when it is something else. Erlang: a binary.
  std::span<const std::byte> bytes() const {
    // As they are sent: a struct's pointer, right behind it the pointer to the bytes, and the bytes.
    constexpr std::uint64_t root = std::uint64_t{1} << 48, list = 1 | std::uint64_t{2} << 32, without_size = (std::uint64_t{1} << 35) - 1;
    const capnp::word* words = envelope().words;
    if (!words || !is_bytes()) return other_bytes();
    std::uint64_t pointer;
    std::memcpy(&pointer, words, sizeof pointer);
    if (pointer != root) return other_bytes();
    std::memcpy(&pointer, words + 1, sizeof pointer);
    if ((pointer & without_size) != list) return other_bytes();
    return {reinterpret_cast<const std::byte*>(words + 2), pointer >> 35};
  }

  /// False when some of these `field_bit`s are of fields that it cannot have.
  bool may_have(std::uint64_t bits) const { return (bits & ~envelope().fields.bits) == 0; }

  /// How long ago it was sent. cl-muproc: muproc-packet-age.
  std::chrono::nanoseconds age() const;

  /// Its contents. Of a large message, which lies in its sender's memory, each pointer is checked when it is followed;
  /// all other messages were checked when they arrived.
  capnp::AnyPointer::Reader root() const {
    const detail::Envelope& contents = envelope();
    if (!contents.words) return contents.large_root;
    return capnp::AnyPointer::Reader(capnp::_::PointerReader::getRootUnchecked(contents.words));
  }
  /// Follows every pointer of a large message, once; throws kj::Exception when one leads outside. Done before a typed or
  /// `otherwise` clause takes the message, and by receive_any.
  void check() const {
    if (envelope_ && !envelope_->words) check_large();
  }

 private:
  friend class detail::Runtime;
  friend class detail::Inbox;
  explicit Message(detail::EnvelopePtr envelope) : envelope_(std::move(envelope)) {}
  const detail::Envelope& envelope() const { return envelope_ ? *envelope_ : detail::k_no_envelope; }
  detail::Body* body() const;
  void check_large() const;
  std::span<const std::byte> other_bytes() const;

  detail::EnvelopePtr envelope_;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class T>
bool FieldView::fits() const {
  using K = Value::Kind;
  if constexpr (std::is_same_v<T, Value> || std::is_same_v<T, FieldView>) return true;
  else if constexpr (std::is_same_v<T, bool>) return kind_ == K::boolean;
  else if constexpr (std::is_integral_v<T>) return kind_ == K::integer && detail::in_range<T>(integer_);
  else if constexpr (std::is_floating_point_v<T>) return kind_ == K::real || kind_ == K::integer;
  else if constexpr (std::is_same_v<T, Symbol> || std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view>)
    return kind_ == K::symbol || kind_ == K::text;
  else if constexpr (std::is_same_v<T, Pid>) return kind_ == K::pid;
  else if constexpr (std::is_same_v<T, Reason>) return kind_ == K::reason;
  else if constexpr (std::is_same_v<T, Data> || std::is_same_v<T, std::span<const std::byte>>) return kind_ == K::data;
  else if constexpr (std::is_same_v<T, List>) return kind_ == K::list;
  else if constexpr (std::is_same_v<T, Mumsg>) return kind_ == K::mumsg;
  else if constexpr (std::is_same_v<T, StructValue>) return kind_ == K::structure;
  else if constexpr (detail::StructReader<T>)
    return structure_type() == capnp::typeId<typename T::Reads>() && !structure().isNull();
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
  else if constexpr (std::is_same_v<T, std::span<const std::byte>>)
    return {reinterpret_cast<const std::byte*>(text_.data()), text_.size()};
  else if constexpr (detail::StructReader<T>) return structure().template getAs<typename T::Reads>();
  else if constexpr (std::is_same_v<T, Value>) return value();
  else return value().as<T>();
}

}  // namespace muproc
