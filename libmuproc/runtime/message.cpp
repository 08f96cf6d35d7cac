// Reading messages: the out-of-line half of message.hpp.
#include <muproc/message.hpp>

#include <bit>

#include "runtime/body.hpp"
#include "runtime/runtime.hpp"
#include "wire/codec.hpp"
#include "wire/field_words.hpp"

namespace muproc {

struct FieldReading {
  static void read(FieldView& to, wire::Field::Reader from) {
    using K = Value::Kind;
    to.field_ = capnp::AnyStruct::Reader(from);
    switch (from.which()) {
      case wire::Field::NIL: to.kind_ = K::nil; return;
      case wire::Field::BOOLEAN:
        to.kind_ = K::boolean;
        to.boolean_ = from.getBoolean();
        return;
      case wire::Field::INTEGER:
        to.kind_ = K::integer;
        to.integer_ = from.getInteger();
        return;
      case wire::Field::REAL:
        to.kind_ = K::real;
        to.real_ = from.getReal();
        return;
      case wire::Field::SYMBOL:
        to.kind_ = K::symbol;
        to.text_ = wire::view(from.getSymbol());
        return;
      case wire::Field::TEXT:
        to.kind_ = K::text;
        to.text_ = wire::view(from.getText());
        return;
      case wire::Field::PID:
        to.kind_ = K::pid;
        to.bits_ = from.getPid();
        return;
      case wire::Field::DATA: {
        const auto bytes = from.getData().asChars();
        to.kind_ = K::data;
        to.text_ = {bytes.begin(), bytes.size()};
        return;
      }
      case wire::Field::LIST: composite(to, K::list); return;
      case wire::Field::MUMSG: composite(to, K::mumsg); return;
      case wire::Field::STRUCTURE: composite(to, K::structure); return;
      case wire::Field::REASON: composite(to, K::reason); return;
    }
    to.kind_ = K::nil;  // a kind of a later version
  }

  /// The same from a message whose bounds were checked; false when it takes a reader.
  static bool read(FieldView& to, const wire::FieldWords& from, unsigned i) {
    using K = Value::Kind;
    switch (from.which(i)) {
      case wire::Field::NIL: to.kind_ = K::nil; return true;
      case wire::Field::BOOLEAN:
        to.kind_ = K::boolean;
        to.boolean_ = from.boolean(i);
        return true;
      case wire::Field::INTEGER:
        to.kind_ = K::integer;
        to.integer_ = static_cast<std::int64_t>(from.value(i));
        return true;
      case wire::Field::REAL:
        to.kind_ = K::real;
        to.real_ = std::bit_cast<double>(from.value(i));
        return true;
      case wire::Field::PID:
        to.kind_ = K::pid;
        to.bits_ = from.value(i);
        return true;
      case wire::Field::SYMBOL:
      case wire::Field::TEXT: {
        const auto text = from.text(i);
        if (!text) return false;
        to.kind_ = from.which(i) == wire::Field::TEXT ? K::text : K::symbol;
        to.text_ = *text;
        return true;
      }
      default: return false;
    }
  }

  /// Followed to its end here, where malformed contents are the sender's affair, so that a handler never meets them.
  static void composite(FieldView& to, Value::Kind kind) {
    to.kind_ = kind;
    for (const auto pointer : to.field_.getPointerSection()) pointer.targetSize();
  }

  static wire::Field::Reader field(const FieldView& view) { return view.field_.as<wire::Field>(); }
};

Value FieldView::value() const {
  switch (kind_) {
    case Value::Kind::nil: return {};
    case Value::Kind::boolean: return boolean_;
    case Value::Kind::integer: return integer_;
    case Value::Kind::real: return real_;
    case Value::Kind::symbol: return Symbol(std::string(text_));
    case Value::Kind::text: return std::string(text_);
    case Value::Kind::pid: return Pid(bits_);
    default: return wire::read(FieldReading::field(*this));
  }
}

bool FieldView::equals(std::string_view other) const {
  if (kind_ == Value::Kind::symbol || kind_ == Value::Kind::text) return text_ == other;
  return kind_ == Value::Kind::reason && as<Reason>() == other;
}

bool FieldView::equals(std::int64_t other) const {
  if (kind_ == Value::Kind::integer) return integer_ == other;
  if (kind_ == Value::Kind::real) return real_ == static_cast<double>(other);
  return kind_ == Value::Kind::reason && as<Reason>().value() == Value(other);
}

bool FieldView::equals(double other) const {
  if (kind_ == Value::Kind::real) return real_ == other;
  return kind_ == Value::Kind::integer && static_cast<double>(integer_) == other;
}

std::uint64_t FieldView::structure_type() const {
  return kind_ == Value::Kind::structure ? FieldReading::field(*this).getStructure().getTypeId() : 0;
}

capnp::AnyPointer::Reader FieldView::structure() const {
  if (kind_ != Value::Kind::structure) return {};
  return FieldReading::field(*this).getStructure().getContents();
}

namespace {

/// Which of so many fields has the key; `size` when none has. Senders mostly name the fields in the order in which they
/// are asked for: `likely` is looked at first.
template <class KeyOf>
unsigned find_key(std::uint64_t key, unsigned likely, unsigned size, const KeyOf& key_of) {
  if (likely < size && key_of(likely) == key) return likely;
  unsigned at = 0;
  while (at < size && key_of(at) != key) ++at;
  return at;
}

}  // namespace

bool MumsgView::find_all(const std::uint64_t* keys, FieldView* fields, unsigned count) const {
  if (fields_.first) {
    const wire::FieldWords words(fields_);
    unsigned i = 0;
    for (; i < count; ++i) {
      const unsigned at = find_key(keys[i], i, words.size(), [&](unsigned n) { return words.key(n); });
      if (at == words.size()) return false;
      if (!FieldReading::read(fields[i], words, at)) break;
    }
    if (i == count) return true;
  }
  const auto list = mumsg_.as<wire::Mumsg>().getFields();
  for (unsigned i = 0; i < count; ++i) {
    const unsigned at = find_key(keys[i], i, list.size(), [&](unsigned n) { return list[n].getKey(); });
    if (at == list.size()) return false;
    FieldReading::read(fields[i], list[at]);
  }
  return true;
}

std::optional<FieldView> MumsgView::find(std::string_view name) const {
  const std::uint64_t key = detail::field_key(name);
  FieldView field;
  if (!find_all(&key, &field, 1)) return std::nullopt;
  return field;
}

FieldView MumsgView::operator[](std::string_view name) const {
  if (auto field = find(name)) return *field;
  throw ValueError("the message has no field \"" + std::string(name) + '"');
}

unsigned MumsgView::size() const { return mumsg_.as<wire::Mumsg>().getFields().size(); }

Mumsg MumsgView::value() const { return wire::read(mumsg_.as<wire::Mumsg>()); }

bool Message::is_mumsg() const { return type_id() == capnp::typeId<wire::Mumsg>(); }

MumsgView Message::mumsg() const {
  if (!is_mumsg()) throw ValueError("the message is no mumsg");
  return detail::Runtime::request_fields(*this);
}

MumsgView detail::Runtime::request_fields(const Message& request) {
  const Envelope& contents = request.envelope();
  if (!contents.words) return MumsgView(contents.large_root.getAs<capnp::AnyStruct>());
  return MumsgView(capnp::AnyStruct::Reader(contents.structure), contents.fields);
}

detail::Body* Message::body() const { return static_cast<detail::Body*>(envelope_.get()); }

static_assert(detail::k_byte_message == capnp::typeId<wire::ByteMessage>());

std::span<const std::byte> Message::other_bytes() const {
  const auto bytes = as<wire::ByteMessage>().getBytes();
  return {reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size()};
}

void Message::check_large() const { body()->check(); }

std::chrono::nanoseconds Message::age() const {
  const auto* runtime = detail::Runtime::current();
  return runtime ? runtime->directory().age(envelope().timestamp) : std::chrono::nanoseconds(0);
}

}  // namespace muproc
