#include "wire/codec.hpp"

#include <capnp/serialize.h>

#include <cstring>

#include "shm/layout.hpp"

namespace muproc {

/// The codec writes a Reason's parts one by one.
struct ReasonAccess {
  static void set(Reason& reason, bool core, int number, Pid pid, std::string name, std::string what, Value value,
                  std::shared_ptr<const Reason> cause) {
    reason.core_ = core;
    reason.number_ = number;
    reason.pid_ = pid;
    reason.name_ = std::move(name);
    reason.what_ = std::move(what);
    reason.value_ = std::move(value);
    reason.cause_ = std::move(cause);
  }
};

namespace wire {
namespace {

/// A text setter that takes any bytes: Cap'n Proto wants to see a NUL behind them, which a view does not have.
template <class Init>
void set_text(Init init, std::string_view text) {
  auto to = init(static_cast<unsigned>(text.size()));
  if (!text.empty()) std::memcpy(to.begin(), text.data(), text.size());
}

/// A value that is nested more deeply than readers follow would make its sender one that sends what is no message. (Each
/// level costs a reader two of its 256; causes of a reason have their own share.)
constexpr int k_deepest = 64;
/// What is told as a reason by itself is read as a field of a notice: room for that is kept.
constexpr int k_of_notices = 2;

void write_value(Field::Builder to, const Value& value, int depth);
void write_reason(Reason::Builder to, const muproc::Reason& reason, int causes, int depth);

void write_name(Field::Builder to, std::string_view name) {
  to.setKey(shm::name_hash(name.data(), name.size()));
  set_text([&](unsigned size) { return to.initName(size); }, name);
}

void write_fields(capnp::List<Field>::Builder to, const muproc::Mumsg& mumsg, int depth) {
  unsigned index = 0;
  for (const auto& [name, value] : mumsg) {
    write_name(to[index], name);
    write_value(to[index++], value, depth);
  }
}

struct Writer {
  Field::Builder to;
  int depth;

  void operator()(std::monostate) { to.setNil(); }
  void operator()(bool value) { to.setBoolean(value); }
  void operator()(std::int64_t value) { to.setInteger(value); }
  void operator()(double value) { to.setReal(value); }
  void operator()(const Symbol& value) {
    set_text([&](unsigned size) { return to.initSymbol(size); }, value.name);
  }
  void operator()(const std::string& value) {
    set_text([&](unsigned size) { return to.initText(size); }, value);
  }
  void operator()(const Data& value) {
    auto data = to.initData(static_cast<unsigned>(value.size()));
    if (!value.empty()) std::memcpy(data.begin(), value.data(), value.size());
  }
  void operator()(const muproc::List& value) {
    auto list = to.initList(static_cast<unsigned>(value.size()));
    for (unsigned i = 0; i < value.size(); ++i) write_value(list[i], value[i], depth + 1);
  }
  void operator()(const muproc::Mumsg& value) {
    write_fields(to.initMumsg(static_cast<unsigned>(value.size())), value, depth + 1);
  }
  void operator()(Pid value) { to.setPid(value.bits()); }
  void operator()(const StructValue& value) {
    auto structure = to.initStructure();
    structure.setTypeId(value.type_id);
    auto data = structure.initWords(static_cast<unsigned>(value.words.size() * 8));
    if (!value.words.empty()) std::memcpy(data.begin(), value.words.data(), value.words.size() * 8);
  }
  void operator()(const std::shared_ptr<const muproc::Reason>& value) {
    write_reason(to.initReason(), *value, 0, depth + 1);
  }
};

void write_value(Field::Builder to, const Value& value, int depth) {
  if (depth > k_deepest && !value.is_nil())
    throw ValueError("a value is nested more than " + std::to_string(k_deepest) + " levels deep");
  std::visit(Writer{to, depth}, value.variant());
}

StructValue read_structure(Structure::Reader from) {
  StructValue value;
  value.type_id = from.getTypeId();
  if (from.hasContents()) {
    capnp::MallocMessageBuilder message;
    message.setRoot(from.getContents());
    const auto flat = capnp::messageToFlatArray(message);
    value.words.resize(flat.size());
    std::memcpy(value.words.data(), flat.begin(), flat.size() * sizeof(capnp::word));
    return value;
  }
  const auto bytes = from.getWords();
  value.words.resize(bytes.size() / 8);
  if (!value.words.empty()) std::memcpy(value.words.data(), bytes.begin(), value.words.size() * 8);
  return value;
}

}  // namespace

void write(Field::Builder to, const Value& value) { write_value(to, value, 0); }

void write_named(Field::Builder to, std::string_view name, const Value& value) {
  write_name(to, name);
  write(to, value);
}

void write(Mumsg::Builder to, const muproc::Mumsg& mumsg) {
  write_fields(to.initFields(static_cast<unsigned>(mumsg.size())), mumsg, 0);
}

namespace {

/// A reason that rippled through ever more links would get too deep to be read: beyond this many causes comes the root.
constexpr int k_most_causes = 30;

void write_reason(Reason::Builder to, const muproc::Reason& reason, int causes, int depth) {
  to.setKind(static_cast<std::uint16_t>(reason.kind()));
  to.setCore(reason.core());
  to.setNumber(reason.number());
  to.setPid(reason.pid().bits());
  if (!reason.name().empty()) to.setName(pointer(reason.name()));
  if (!reason.what().empty()) to.setWhat(pointer(reason.what()));
  if (!reason.value().is_nil()) write_value(to.initValue(), reason.value(), depth);
  if (reason.cause())
    write_reason(to.initCause(), causes < k_most_causes ? *reason.cause() : reason.root_cause(), causes + 1, depth);
}

}  // namespace

void write(Reason::Builder to, const muproc::Reason& reason) { write_reason(to, reason, 0, k_of_notices); }

namespace {

Value read_value(Field::Reader from, int depth);
muproc::Reason read_reason(Reason::Reader from, int depth);

muproc::Mumsg read_named(capnp::List<Field>::Reader from, int depth) {
  muproc::Mumsg mumsg;
  for (auto field : from) mumsg.set(view(field.getName()), read_value(field, depth));
  return mumsg;
}

/// What is nested more deeply than it could be written is nil: whatever was read can be written in its turn.
Value read_value(Field::Reader from, int depth) {
  if (depth > k_deepest) return {};
  switch (from.which()) {
    case Field::NIL: return {};
    case Field::BOOLEAN: return from.getBoolean();
    case Field::INTEGER: return from.getInteger();
    case Field::REAL: return from.getReal();
    case Field::SYMBOL: return Symbol(view(from.getSymbol()));
    case Field::TEXT: return string(from.getText());
    case Field::DATA: {
      const auto bytes = from.getData();
      const auto* begin = reinterpret_cast<const std::byte*>(bytes.begin());
      return Data(begin, begin + bytes.size());
    }
    case Field::LIST: {
      muproc::List list;
      for (auto element : from.getList()) list.push_back(read_value(element, depth + 1));
      return list;
    }
    case Field::MUMSG: return read_named(from.getMumsg(), depth + 1);
    case Field::PID: return Pid(from.getPid());
    case Field::STRUCTURE: return read_structure(from.getStructure());
    case Field::REASON: return read_reason(from.getReason(), depth + 1);
  }
  return {};
}

muproc::Reason read_reason(Reason::Reader from, int depth) {
  const auto last = static_cast<std::uint16_t>(muproc::Reason::Kind::noproc);
  muproc::Reason reason(from.getKind() <= last ? static_cast<muproc::Reason::Kind>(from.getKind())
                                               : muproc::Reason::Kind::exit);
  std::shared_ptr<const muproc::Reason> cause;
  if (from.hasCause()) cause = std::make_shared<const muproc::Reason>(read_reason(from.getCause(), depth));
  ReasonAccess::set(reason, from.getCore(), from.getNumber(), Pid(from.getPid()), string(from.getName()),
                    string(from.getWhat()), from.hasValue() ? read_value(from.getValue(), depth) : Value(),
                    std::move(cause));
  return reason;
}

}  // namespace

Value read(Field::Reader from) { return read_value(from, 0); }
muproc::Mumsg read_fields(capnp::List<Field>::Reader from) { return read_named(from, 0); }
muproc::Mumsg read(Mumsg::Reader from) { return read_fields(from.getFields()); }
muproc::Reason read(Reason::Reader from) { return read_reason(from, k_of_notices); }

}  // namespace wire
}  // namespace muproc
