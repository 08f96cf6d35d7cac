// Owned values to and from their form on the wire.
#include "wire/codec.hpp"

#include <capnp/message.h>
#include <capnp/schema.h>
#include <capnp/serialize.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "shm/layout.hpp"
#include "support/catch.hpp"
#include "support/printing.hpp"
#include "support/random.hpp"

using namespace muproc;
using namespace muproc::literals;
using muproc::test::Random;

namespace {

/// Written, sent as bytes, and read.
Value round_trip(const Value& value) {
  capnp::MallocMessageBuilder message;
  wire::write(message.initRoot<wire::Field>(), value);
  const auto words = capnp::messageToFlatArray(message);
  capnp::FlatArrayMessageReader reader(words, {8 << 20, 256});
  return wire::read(reader.getRoot<wire::Field>());
}

Reason round_trip(const Reason& reason) {
  capnp::MallocMessageBuilder message;
  wire::write(message.initRoot<wire::Reason>(), reason);
  const auto words = capnp::messageToFlatArray(message);
  capnp::FlatArrayMessageReader reader(words, {8 << 20, 256});
  return wire::read(reader.getRoot<wire::Reason>());
}

std::string any_text(Random& random) {
  std::string text(random.one_in(10) ? random.below(5000) : random.below(20), ' ');
  for (char& c : text) c = static_cast<char>(random.bits());
  return text;
}

Reason any_reason(Random& random, int depth);

Value any_value(Random& random, int depth) {
  switch (random.below(depth > 0 ? 12 : 8)) {
    case 0: return {};
    case 1: return random.one_in(2);
    case 2: return static_cast<std::int64_t>(random.bits());
    case 3: {
      const std::uint64_t bits = random.bits();
      double real;
      std::memcpy(&real, &bits, 8);
      return std::isnan(real) ? 0.5 : real;
    }
    case 4: return Symbol(any_text(random));
    case 5: return any_text(random);
    case 6: return Pid(random.bits());
    case 7: {
      Data data(random.below(100));
      for (auto& byte : data) byte = static_cast<std::byte>(random.bits());
      return data;
    }
    case 8: {
      List list;
      for (std::uint64_t n = random.below(6); n > 0; --n) list.push_back(any_value(random, depth - 1));
      return list;
    }
    case 9: {
      Mumsg mumsg;
      for (std::uint64_t n = random.below(6); n > 0; --n) mumsg.set(any_text(random), any_value(random, depth - 1));
      return mumsg;
    }
    case 10: {
      StructValue value{random.bits(), {}};
      for (std::uint64_t n = random.below(20); n > 0; --n) value.words.push_back(random.bits());
      return value;
    }
    default: return any_reason(random, depth - 1);
  }
}

Reason any_reason(Random& random, int depth) {
  switch (random.below(depth > 0 ? 10 : 8)) {
    case 0: return Reason::exit(any_value(random, depth));
    case 1: return Reason::signal(static_cast<int>(random.below(65)), random.one_in(2));
    case 2: return Reason::code(static_cast<int>(random.below(256)));
    case 3: return Reason::exception(any_text(random), any_text(random));
    case 4: return Reason::corrupt_message(any_text(random));
    case 5: return Reason::start_failed(any_text(random));
    case 6: return Reason::killed();
    case 7: return Reason(static_cast<Reason::Kind>(random.below(14)));
    case 8: return Reason::start_failed(any_reason(random, depth - 1));
    default: return Reason::linked(any_text(random), Pid(random.bits()), any_reason(random, depth - 1));
  }
}

/// Sets the number that says what a union holds.
void set_discriminant(wire::Field::Builder field, std::uint16_t which) {
  const auto at = capnp::Schema::from<wire::Field>().getProto().getStruct().getDiscriminantOffset();
  std::memcpy(capnp::AnyStruct::Builder(std::move(field)).getDataSection().begin() + at * 2, &which, 2);
}

}  // namespace

TEST_CASE("every kind of value comes back as it was", "[wire][codec]") {
  const std::vector<Value> values{
      {},
      true,
      false,
      0,
      std::numeric_limits<std::int64_t>::min(),
      -0.5,
      std::numeric_limits<double>::infinity(),
      "square"_sym,
      "",
      "text with a \0 in it",
      std::string("real \0 zero", 11),
      Data{},
      Data{std::byte{0}, std::byte{255}},
      List{},
      List{1, "two", List{3.5, nullptr}},
      Mumsg{},
      Mumsg{{"cmd", "square"_sym}, {"x", 3}, {"nested", Mumsg{{"y", List{4}}}}},
      Pid(),
      Pid(1, 2, 3),
      StructValue{0x1234, {1, 2, 3}},
      Reason::exit("done"),
  };
  for (const Value& value : values) {
    INFO(to_string(value));
    CHECK(round_trip(value) == value);
  }
}

TEST_CASE("every kind of reason comes back as it was", "[wire][codec][reason]") {
  const std::vector<Reason> reasons{
      Reason::normal(),
      Reason::exit(Mumsg{{"code", 3}}),
      Reason::killed(),
      Reason::signal(11, true),
      Reason::code(-1),
      Reason::exception("std::runtime_error", "no luck"),
      Reason::linked("ch-1", Pid(0, 3, 1), Reason::linked("ch-2", Pid(0, 4, 1), Reason::signal(9))),
      Reason::shutdown(),
      Reason(Reason::Kind::watchdog),
      Reason(Reason::Kind::out_of_memory),
      Reason::corrupt_message("a bad header"),
      Reason::start_failed(Reason::exception("x", "y")),
      Reason::start_failed("text"),
      Reason::broker_lost(),
      Reason::noproc(),
  };
  for (const Reason& reason : reasons) {
    INFO(to_string(reason));
    CHECK(round_trip(reason) == reason);
  }
}

TEST_CASE("a reason may be large", "[wire][codec][reason]") {
  const Reason reason = Reason::exit(std::string(128 << 10, 'x'));
  CHECK(round_trip(reason) == reason);
  const Reason rippled = Reason::linked("a", Pid(0, 1, 1), Reason::exception("t", std::string(128 << 10, 'y')));
  CHECK(round_trip(rippled) == rippled);
}

TEST_CASE("a reason that rippled through many keeps its nearest causes and its root", "[wire][codec][reason]") {
  Reason reason = Reason::exit("the root");
  for (std::uint32_t i = 1000; i > 0; --i) reason = Reason::linked("m" + std::to_string(i), Pid(0, i, 1), reason);
  const Reason heard = round_trip(reason);
  CHECK(heard.root_cause() == Reason::exit("the root"));
  CHECK(heard.name() == "m1");
  CHECK(heard.cause()->name() == "m2");
  int depth = 0;
  for (const Reason* cause = &heard; cause; cause = cause->cause()) ++depth;
  CHECK(depth <= 32);
}

TEST_CASE("random values come back as they were", "[wire][codec]") {
  Random random;
  INFO(random.how_to_repeat());
  for (int round = 0; round < 3000; ++round) {
    const Value value = any_value(random, 4);
    REQUIRE(round_trip(value) == value);
  }
}

TEST_CASE("a field carries the hash of its name, so that a clause need not read names", "[wire][codec]") {
  capnp::MallocMessageBuilder message;
  auto field = message.initRoot<wire::Field>();
  wire::write_named(field, "cmd", 1);
  CHECK(field.getKey() == shm::name_hash("cmd", 3));
  CHECK(wire::view(field.getName()) == "cmd");
}

TEST_CASE("a kind of value or reason that this version does not know is none", "[wire][codec]") {
  capnp::MallocMessageBuilder message;
  auto mumsg = message.initRoot<wire::Mumsg>();
  auto fields = mumsg.initFields(2);
  wire::write_named(fields[0], "new", 17);
  set_discriminant(fields[0], 999);
  wire::write_named(fields[1], "old", 18);
  CHECK(wire::read(mumsg.asReader()) == Mumsg{{"new", nullptr}, {"old", 18}});

  capnp::MallocMessageBuilder other;
  auto reason = other.initRoot<wire::Reason>();
  reason.setKind(999);
  CHECK(wire::read(reason.asReader()).is(Reason::Kind::exit));
}

TEST_CASE("a struct's words that are no whole number of words are cut", "[wire][codec][hostile]") {
  capnp::MallocMessageBuilder message;
  auto field = message.initRoot<wire::Field>();
  field.initStructure().initWords(13);
  CHECK(wire::read(field.asReader()).as<StructValue>().words.size() == 1);
}

TEST_CASE("malformed bytes are an exception and never a crash", "[wire][codec][hostile]") {
  Random random;
  INFO(random.how_to_repeat());
  int read = 0, refused = 0;
  for (int round = 0; round < 5000; ++round) {
    capnp::MallocMessageBuilder message;
    wire::write(message.initRoot<wire::Field>(), any_value(random, 4));
    auto words = capnp::messageToFlatArray(message);
    auto bytes = words.asBytes();
    for (std::uint64_t changes = 1 + random.below(6); changes > 0; --changes) {
      const std::size_t at = random.below(bytes.size());
      bytes[at] = static_cast<kj::byte>(random.one_in(2) ? random.bits() : bytes[at] ^ (1u << random.below(8)));
    }
    try {
      capnp::FlatArrayMessageReader reader(words.slice(0, 1 + random.below(words.size())), {1 << 16, 64});
      const Value value = wire::read(reader.getRoot<wire::Field>());
      (void)to_string(value);
      ++read;
    } catch (const kj::Exception&) {
      ++refused;
    }
  }
  CHECK(read > 0);
  CHECK(refused > 0);
}

TEST_CASE("a message that repeats itself inside itself is refused before it takes all memory", "[wire][codec][hostile]") {
  // A list whose elements all point to one and the same list, many levels deep: small bytes, endless contents.
  capnp::MallocMessageBuilder message;
  auto outer = message.initRoot<wire::Field>().initList(64);
  for (int level = 0; level < 20; ++level) {
    auto inner = outer[0].initList(64);
    outer = inner;
  }
  auto words = capnp::messageToFlatArray(message);
  capnp::FlatArrayMessageReader reader(words, {1 << 16, 10});
  CHECK_THROWS_AS(wire::read(reader.getRoot<wire::Field>()), kj::Exception);
}

TEST_CASE("what is nested more deeply than anybody would read cannot be written", "[wire][codec]") {
  const auto nested = [](int depth) {
    Value value(1);
    for (int level = 0; level < depth; ++level) {
      if (level % 3 == 0) value = List{value};
      if (level % 3 == 1) value = Mumsg{{"inner", value}};
      if (level % 3 == 2) value = Reason::exit(value);
    }
    return value;
  };
  capnp::MallocMessageBuilder message;
  wire::write(message.initRoot<wire::Mumsg>(), muproc::Mumsg{{"deep", nested(64)}});
  const auto words = capnp::messageToFlatArray(message);
  capnp::FlatArrayMessageReader reader(words, {std::uint64_t{1} << 20, 256});
  CHECK(wire::read(reader.getRoot<wire::Mumsg>())["deep"] == nested(64));
  CHECK_THROWS_AS(wire::write(message.initRoot<wire::Mumsg>(), muproc::Mumsg{{"deep", nested(65)}}), ValueError);
  CHECK_THROWS_AS(wire::write(message.initRoot<wire::Reason>(), Reason::exit(nested(63))), ValueError);
  // What can be said as a reason can be told in a notice.
  CHECK_NOTHROW(wire::write(message.initRoot<wire::Reason>(), Reason::exit(nested(62))));
  CHECK_NOTHROW(wire::write(message.initRoot<wire::Mumsg>(), muproc::Mumsg{{"reason", Reason::exit(nested(62))}}));

  // Somebody else may write what he likes: what is too deep is nil, and what was read can be written.
  capnp::MallocMessageBuilder foreign;
  auto reason = foreign.initRoot<wire::Reason>();
  reason.setKind(static_cast<std::uint16_t>(Reason::Kind::exit));
  auto at = reason.initValue();
  for (int level = 0; level < 80; ++level) at = at.initList(1)[0];
  at.setInteger(7);
  const Reason read = wire::read(reason.asReader());
  CHECK_NOTHROW(wire::write(message.initRoot<wire::Reason>(), read));
  CHECK_NOTHROW(wire::write(message.initRoot<wire::Mumsg>(), muproc::Mumsg{{"reason", read}}));
}
