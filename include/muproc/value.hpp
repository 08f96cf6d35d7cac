// Owned values: what a mumsg's fields hold, and the mumsg itself as a value that can be kept.
//
// A *mumsg* is a set of named values (cl-muproc's container for messages). In flight it is a Cap'n Proto message and
// is read in place (`MumsgView` in message.hpp); `Mumsg` here is its owned form: arguments, bindings, a message that
// is built up or kept. Fields keep the order in which they were set, names are unique.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <muproc/pid.hpp>

namespace muproc {

class Value;
class Reason;
struct NamedValue;

namespace detail {
/// std::in_range, and for characters too: they travel as the numbers that they are.
template <class To, class From>
constexpr bool in_range(From value) {
  static_assert(!std::is_same_v<To, bool> && !std::is_same_v<From, bool>);
  using Number = std::conditional_t<std::is_signed_v<From>, std::make_signed_t<From>, std::make_unsigned_t<From>>;
  using Wanted = std::conditional_t<std::is_signed_v<To>, std::make_signed_t<To>, std::make_unsigned_t<To>>;
  return std::in_range<Wanted>(static_cast<Number>(value));
}
}  // namespace detail

/// A name used as a value: Lisp's symbol, Erlang's atom. Compares equal to text with the same characters.
struct Symbol {
  std::string name;

  Symbol() = default;
  explicit Symbol(std::string_view text) : name(text) {}
  operator std::string_view() const { return name; }
  friend bool operator==(const Symbol& a, const Symbol& b) { return a.name == b.name; }
  friend bool operator==(const Symbol& a, std::string_view b) { return a.name == b; }
};

namespace literals {
inline Symbol operator""_sym(const char* text, std::size_t size) { return Symbol(std::string_view(text, size)); }
}  // namespace literals

using Data = std::vector<std::byte>;
using List = std::vector<Value>;

/// A Cap'n Proto struct carried as a field: its schema's type id and its message, flat, as 64-bit words.
struct StructValue {
  std::uint64_t type_id = 0;
  std::vector<std::uint64_t> words;
  friend bool operator==(const StructValue&, const StructValue&) = default;
};

/// Thrown when a value is read as a type that it does not fit, or a field is asked for that is not there.
struct ValueError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A set of named values, in the order in which they were set. Erlang: a map with atom keys. cl-muproc: `mumsg`.
class Mumsg {
 public:
  // Defined below, where a NamedValue is complete: clang asks for that.
  Mumsg();
  Mumsg(const Mumsg&);
  Mumsg(Mumsg&&) noexcept;
  Mumsg& operator=(const Mumsg&);
  Mumsg& operator=(Mumsg&&) noexcept;
  ~Mumsg();
  Mumsg(std::initializer_list<std::pair<std::string_view, Value>> fields);

  /// The field's value; throws ValueError that names the field when it is not there.
  const Value& operator[](std::string_view name) const;
  /// The field's value, or null; valid until the mumsg changes.
  const Value* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  /// Sets or replaces a field.
  Mumsg& set(std::string_view name, Value value);

  std::size_t size() const;
  bool empty() const { return size() == 0; }
  std::vector<NamedValue>::const_iterator begin() const;
  std::vector<NamedValue>::const_iterator end() const;
  friend bool operator==(const Mumsg& a, const Mumsg& b);

 private:
  std::vector<NamedValue> fields_;
};

/// One value of a mumsg's field.
class Value {
 public:
  enum class Kind : std::uint8_t { nil, boolean, integer, real, symbol, text, data, list, mumsg, pid, structure, reason };
  using Variant = std::variant<std::monostate, bool, std::int64_t, double, Symbol, std::string, Data, List, Mumsg, Pid,
                               StructValue, std::shared_ptr<const Reason>>;

  Value() = default;
  Value(std::nullptr_t) {}
  Value(bool value) : v_(value) {}
  template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
  Value(T value) : v_(checked(value)) {}
  template <class T>
    requires std::is_floating_point_v<T>
  Value(T value) : v_(static_cast<double>(value)) {}
  Value(const char* text) : v_(std::string(text)) {}
  Value(std::string_view text) : v_(std::string(text)) {}
  Value(std::string text) : v_(std::move(text)) {}
  Value(Symbol symbol) : v_(std::move(symbol)) {}
  Value(Data data) : v_(std::move(data)) {}
  Value(List list) : v_(std::move(list)) {}
  Value(Mumsg mumsg) : v_(std::move(mumsg)) {}
  Value(Pid pid) : v_(pid) {}
  Value(StructValue value) : v_(std::move(value)) {}
  Value(Reason reason);

  Kind kind() const { return static_cast<Kind>(v_.index()); }
  bool is_nil() const { return kind() == Kind::nil; }
  const Variant& variant() const { return v_; }

  /// This value as a T: an integer fits a double and any integer type that can hold it, text and symbol fit each
  /// other. Throws ValueError where it does not fit.
  template <class T>
  T as() const;
  /// As `as`, but empty where it does not fit.
  template <class T>
  std::optional<T> get() const;

  friend bool operator==(const Value& a, const Value& b);

 private:
  template <class T>
  static std::int64_t checked(T value) {
    if (!detail::in_range<std::int64_t>(value)) throw ValueError("integer does not fit 64 signed bits");
    return static_cast<std::int64_t>(value);
  }
  Variant v_;
};

struct NamedValue {
  std::string name;
  Value value;
  friend bool operator==(const NamedValue&, const NamedValue&) = default;
};

/// The word for a kind, as error texts and `--json` have it: "nil", "bool", "int", "float", "symbol", …
std::string_view to_string(Value::Kind kind);
/// As a person would write it: 42, "text", symbol, [1, 2], {cmd: square, x: 3}.
std::string to_string(const Value& value);
std::string to_string(const Mumsg& mumsg);

// ---------------------------------------------------------------------------------------------------------------------

inline Mumsg::Mumsg() = default;
inline Mumsg::Mumsg(const Mumsg&) = default;
inline Mumsg::Mumsg(Mumsg&&) noexcept = default;
inline Mumsg& Mumsg::operator=(const Mumsg&) = default;
inline Mumsg& Mumsg::operator=(Mumsg&&) noexcept = default;
inline Mumsg::~Mumsg() = default;

inline Mumsg::Mumsg(std::initializer_list<std::pair<std::string_view, Value>> fields) {
  for (const auto& [name, value] : fields) set(name, value);
}

inline const Value* Mumsg::find(std::string_view name) const {
  for (const auto& field : fields_)
    if (field.name == name) return &field.value;
  return nullptr;
}

inline const Value& Mumsg::operator[](std::string_view name) const {
  if (const Value* value = find(name)) return *value;
  throw ValueError("no field \"" + std::string(name) + '"');
}

inline Mumsg& Mumsg::set(std::string_view name, Value value) {
  for (auto& field : fields_)
    if (field.name == name) {
      field.value = std::move(value);
      return *this;
    }
  fields_.push_back({std::string(name), std::move(value)});
  return *this;
}

inline std::size_t Mumsg::size() const { return fields_.size(); }
inline std::vector<NamedValue>::const_iterator Mumsg::begin() const { return fields_.begin(); }
inline std::vector<NamedValue>::const_iterator Mumsg::end() const { return fields_.end(); }
inline bool operator==(const Mumsg& a, const Mumsg& b) { return a.fields_ == b.fields_; }

template <class T>
std::optional<T> Value::get() const {
  if constexpr (std::is_same_v<T, Value>) {
    return *this;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (auto* value = std::get_if<bool>(&v_)) return *value;
  } else if constexpr (std::is_integral_v<T>) {
    if (auto* value = std::get_if<std::int64_t>(&v_); value && detail::in_range<T>(*value)) return static_cast<T>(*value);
  } else if constexpr (std::is_floating_point_v<T>) {
    if (auto* value = std::get_if<double>(&v_)) return static_cast<T>(*value);
    if (auto* value = std::get_if<std::int64_t>(&v_)) return static_cast<T>(*value);
  } else if constexpr (std::is_same_v<T, Symbol> || std::is_same_v<T, std::string> ||
                       std::is_same_v<T, std::string_view>) {
    if (auto* symbol = std::get_if<Symbol>(&v_)) return T(symbol->name);
    if (auto* text = std::get_if<std::string>(&v_)) return T(*text);
  } else if constexpr (std::is_same_v<T, Reason>) {
    if (auto* reason = std::get_if<std::shared_ptr<const Reason>>(&v_)) return **reason;
  } else {
    if (auto* value = std::get_if<T>(&v_)) return *value;
  }
  return std::nullopt;
}

template <class T>
T Value::as() const {
  if (auto value = get<T>()) return *std::move(value);
  throw ValueError("a value of kind " + std::string(to_string(kind())) + " does not fit what was asked for");
}

}  // namespace muproc
