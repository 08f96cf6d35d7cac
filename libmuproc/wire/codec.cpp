#include "wire/codec.hpp"

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

void write_fields(capnp::List<Field>::Builder to, const muproc::Mumsg& mumsg) {
  unsigned index = 0;
  for (const auto& [name, value] : mumsg) write_named(to[index++], name, value);
}

struct Writer {
  Field::Builder to;

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
    for (unsigned i = 0; i < value.size(); ++i) write(list[i], value[i]);
  }
  void operator()(const muproc::Mumsg& value) { write_fields(to.initMumsg(static_cast<unsigned>(value.size())), value); }
  void operator()(Pid value) { to.setPid(value.bits()); }
  void operator()(const StructValue& value) {
    auto structure = to.initStructure();
    structure.setTypeId(value.type_id);
    auto data = structure.initWords(static_cast<unsigned>(value.words.size() * 8));
    if (!value.words.empty()) std::memcpy(data.begin(), value.words.data(), value.words.size() * 8);
  }
  void operator()(const std::shared_ptr<const muproc::Reason>& value) { write(to.initReason(), *value); }
};

StructValue read_structure(Structure::Reader from) {
  StructValue value;
  value.type_id = from.getTypeId();
  const auto bytes = from.getWords();
  value.words.resize(bytes.size() / 8);
  if (!value.words.empty()) std::memcpy(value.words.data(), bytes.begin(), value.words.size() * 8);
  return value;
}

}  // namespace

void write(Field::Builder to, const Value& value) { std::visit(Writer{to}, value.variant()); }

void write_named(Field::Builder to, std::string_view name, const Value& value) {
  to.setKey(shm::name_hash(name.data(), name.size()));
  set_text([&](unsigned size) { return to.initName(size); }, name);
  write(to, value);
}

void write(Mumsg::Builder to, const muproc::Mumsg& mumsg) {
  write_fields(to.initFields(static_cast<unsigned>(mumsg.size())), mumsg);
}

namespace {

/// A reason that rippled through ever more links would get too deep to be read: beyond this many causes comes the root.
constexpr int k_most_causes = 30;

void write_reason(Reason::Builder to, const muproc::Reason& reason, int depth) {
  to.setKind(static_cast<std::uint16_t>(reason.kind()));
  to.setCore(reason.core());
  to.setNumber(reason.number());
  to.setPid(reason.pid().bits());
  if (!reason.name().empty()) to.setName(pointer(reason.name()));
  if (!reason.what().empty()) to.setWhat(pointer(reason.what()));
  if (!reason.value().is_nil()) write(to.initValue(), reason.value());
  if (reason.cause())
    write_reason(to.initCause(), depth < k_most_causes ? *reason.cause() : reason.root_cause(), depth + 1);
}

}  // namespace

void write(Reason::Builder to, const muproc::Reason& reason) { write_reason(to, reason, 0); }

Value read(Field::Reader from) {
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
      for (auto element : from.getList()) list.push_back(read(element));
      return list;
    }
    case Field::MUMSG: return read_fields(from.getMumsg());
    case Field::PID: return Pid(from.getPid());
    case Field::STRUCTURE: return read_structure(from.getStructure());
    case Field::REASON: return read(from.getReason());
  }
  return {};
}

muproc::Mumsg read_fields(capnp::List<Field>::Reader from) {
  muproc::Mumsg mumsg;
  for (auto field : from) mumsg.set(view(field.getName()), read(field));
  return mumsg;
}

muproc::Mumsg read(Mumsg::Reader from) { return read_fields(from.getFields()); }

muproc::Reason read(Reason::Reader from) {
  const auto last = static_cast<std::uint16_t>(muproc::Reason::Kind::noproc);
  muproc::Reason reason(from.getKind() <= last ? static_cast<muproc::Reason::Kind>(from.getKind())
                                               : muproc::Reason::Kind::exit);
  std::shared_ptr<const muproc::Reason> cause;
  if (from.hasCause()) cause = std::make_shared<const muproc::Reason>(read(from.getCause()));
  ReasonAccess::set(reason, from.getCore(), from.getNumber(), Pid(from.getPid()), string(from.getName()),
                    string(from.getWhat()), from.hasValue() ? read(from.getValue()) : Value(), std::move(cause));
  return reason;
}

}  // namespace wire
}  // namespace muproc
