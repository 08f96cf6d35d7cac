// Mumsgs written and read word by word: the bytes are those of Cap'n Proto's own builder, and mean the same.
#include "wire/field_words.hpp"

#include <capnp/message.h>
#include <capnp/serialize.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "runtime/arguments.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "wire/bounds.hpp"
#include "wire/codec.hpp"
#include "wire/server.capnp.h"

using namespace muproc;
using detail::FieldArgument;
using detail::NamedArgument;
using muproc::test::Random;

namespace {

using Words = std::vector<std::uint64_t>;

NamedArgument argument(std::string_view name, FieldArgument value) {
  return {name, detail::field_key(name), std::move(value)};
}

Words write_plain(std::span<const NamedArgument> fields) {
  // Filled before, as a ring's old bytes are: every word has to be written.
  Words words(detail::plain_words(fields), 0xdeadbeefdeadbeef);
  detail::write_plain(reinterpret_cast<std::byte*>(words.data()), fields);
  return words;
}

/// The same by Cap'n Proto's builder.
Words build(std::span<const NamedArgument> fields) {
  capnp::MallocMessageBuilder message(1 << 16, capnp::AllocationStrategy::FIXED_SIZE);
  auto to = message.initRoot<wire::Mumsg>().initFields(static_cast<unsigned>(fields.size()));
  for (unsigned i = 0; i < fields.size(); ++i) {
    to[i].setKey(fields[i].key);
    detail::put([&](unsigned size) { return to[i].initName(size); }, fields[i].name);
    detail::write(to[i], fields[i].value);
  }
  const auto segment = message.getSegmentsForOutput()[0];
  Words words(segment.size());
  std::memcpy(words.data(), segment.begin(), segment.size() * 8);
  return words;
}

void check_same(std::span<const NamedArgument> fields) {
  const Words plain = write_plain(fields);
  CHECK(plain == build(fields));
  const auto* message = reinterpret_cast<const capnp::word*>(plain.data());
  REQUIRE(wire::check_bounds(message, plain.size()) == wire::Bounds::inside);
  CHECK(wire::FieldWords::inside(message, plain.size()).first);

  const auto read = wire::FieldWords::of(message);
  REQUIRE(read);
  REQUIRE(read->size() == fields.size());
  for (unsigned i = 0; i < fields.size(); ++i) {
    const FieldArgument& value = fields[i].value;
    CAPTURE(i, static_cast<int>(value.kind()));
    CHECK(read->key(i) == fields[i].key);
    switch (read->which(i)) {
      case wire::Field::NIL: CHECK(value.kind() == Value::Kind::nil); break;
      case wire::Field::BOOLEAN: CHECK(read->boolean(i) == value.boolean()); break;
      case wire::Field::INTEGER: CHECK(static_cast<std::int64_t>(read->value(i)) == value.integer()); break;
      case wire::Field::REAL: CHECK(read->value(i) == std::bit_cast<std::uint64_t>(value.real())); break;
      case wire::Field::PID: CHECK(read->value(i) == value.bits()); break;
      case wire::Field::TEXT:
      case wire::Field::SYMBOL: CHECK(read->text(i) == value.text()); break;
      default: FAIL("a kind that is not plain");
    }
  }
}

FieldArgument any_plain(Random& random, const std::string& text, const Symbol& symbol) {
  switch (random.below(7)) {
    case 0: return {};
    case 1: return random.one_in(2);
    case 2: return static_cast<std::int64_t>(random.bits());
    case 3: return std::bit_cast<double>(random.bits());
    case 4: return Pid(random.bits());
    case 5: return symbol;
    default: return text;
  }
}

}  // namespace

TEST_CASE("plain fields written word by word are what Cap'n Proto's builder writes", "[wire]") {
  check_same({});
  const std::vector<NamedArgument> one_of_each = [] {
    std::vector<NamedArgument> fields;
    fields.push_back(argument("nothing", {}));
    fields.push_back(argument("yes", true));
    fields.push_back(argument("no", false));
    fields.push_back(argument("least", std::numeric_limits<std::int64_t>::min()));
    fields.push_back(argument("most", std::numeric_limits<std::int64_t>::max()));
    fields.push_back(argument("real", -0.0));
    fields.push_back(argument("nan", std::nan("")));
    fields.push_back(argument("pid", Pid(3, 7, 1)));
    fields.push_back(argument("", "a field without a name"));
    return fields;
  }();
  check_same(one_of_each);
}

TEST_CASE("names and texts of every length up to three words are padded as Cap'n Proto pads", "[wire]") {
  const std::string letters = "abcdefghijklmnopqrstuvwxyz";
  for (std::size_t name = 0; name <= 17; ++name)
    for (std::size_t text = 0; text <= 25; ++text) {
      CAPTURE(name, text);
      const Symbol symbol(letters.substr(0, text));
      const NamedArgument fields[] = {argument(std::string_view(letters).substr(0, name), symbol),
                                      argument("between", 1),
                                      argument("then", std::string_view(letters).substr(0, text))};
      check_same(fields);
    }
}

TEST_CASE("whatever plain fields there are, both ways write the same bytes", "[wire]") {
  Random random;
  INFO(random.how_to_repeat());
  for (int round = 0; round < 2000; ++round) {
    const std::size_t count = random.below(12);
    std::vector<std::string> names(count), texts(count);
    std::vector<Symbol> symbols(count);
    std::vector<NamedArgument> fields;
    for (std::size_t i = 0; i < count; ++i) {
      const auto letter = static_cast<char>(random.bits());  // NUL and what is no UTF-8 among them
      names[i].assign(random.below(20), letter);
      texts[i].assign(random.one_in(10) ? random.below(3000) : random.below(20), letter);
      symbols[i] = Symbol(texts[i]);
      fields.push_back(argument(names[i], any_plain(random, texts[i], symbols[i])));
    }
    check_same(fields);
  }
}

TEST_CASE("what needs a builder is not plain", "[wire]") {
  const Value owned(List{1, 2});
  const NamedArgument list[] = {argument("x", 1), argument("list", owned)};
  CHECK(detail::plain_words(list) == 0);
  const Data bytes(3, std::byte{1});
  const NamedArgument data[] = {argument("data", std::span<const std::byte>(bytes))};
  CHECK(detail::plain_words(data) == 0);
}

TEST_CASE("a request written word by word reads as Cap'n Proto's builder would have written it", "[wire]") {
  Random random;
  INFO(random.how_to_repeat());
  for (int round = 0; round < 2000; ++round) {
    const std::size_t count = random.below(6);
    const std::string name(random.below(20), 'n');
    std::vector<std::string> texts(count);
    std::vector<Symbol> symbols(count);
    std::vector<FieldArgument> arguments;
    for (std::size_t i = 0; i < count; ++i) {
      texts[i].assign(random.below(20), static_cast<char>('a' + i));
      symbols[i] = Symbol(texts[i]);
      arguments.push_back(any_plain(random, texts[i], symbols[i]));
    }
    const std::uint64_t id = random.bits();
    Words words(detail::plain_request_words(name, arguments), 0xdeadbeefdeadbeef);
    detail::write_plain_request(reinterpret_cast<std::byte*>(words.data()), name, id, arguments);

    capnp::MallocMessageBuilder message;
    auto built = message.initRoot<wire::Request>();
    built.setName(kj::StringPtr(name.c_str(), name.size()));
    built.setId(id);
    auto fields = built.initFields(static_cast<unsigned>(count));
    for (unsigned i = 0; i < count; ++i) {
      fields[i].setKey(detail::argument_key(i));
      detail::write(fields[i], arguments[i]);
    }
    const auto* begin = reinterpret_cast<const capnp::word*>(words.data());
    const kj::ArrayPtr<const capnp::word> segments[] = {{begin, words.size()}};
    capnp::SegmentArrayMessageReader reader(segments);
    // As canonical bytes: NaNs that are no number but the same bits, too.
    const auto plainly = capnp::canonicalize(reader.getRoot<wire::Request>()), usual = capnp::canonicalize(built.asReader());
    CHECK(plainly.asBytes() == usual.asBytes());

    CHECK(wire::check_bounds(begin, words.size()) == wire::Bounds::inside);
    const auto plain = wire::FieldWords::inside(begin, words.size());
    REQUIRE(plain.first);
    CHECK(plain.count == count);
    for (unsigned i = 0; i < count; ++i) CHECK(wire::FieldWords(plain).key(i) == detail::argument_key(i));
  }
}

TEST_CASE("an answer written word by word is a mumsg of one field without a name", "[wire]") {
  const FieldArgument value = std::string_view("a text of three words");
  Words words(detail::plain_answer_words(value), 0xdeadbeefdeadbeef);
  detail::write_plain_answer(reinterpret_cast<std::byte*>(words.data()), value);
  const auto* begin = reinterpret_cast<const capnp::word*>(words.data());
  const auto plain = wire::FieldWords::inside(begin, words.size());
  REQUIRE(plain.count == 1);
  CHECK(wire::FieldWords(plain).key(0) == detail::argument_key(0));
  CHECK(wire::FieldWords(plain).text(0) == value.text());
  CHECK(detail::plain_answer_words(FieldArgument(std::span<const std::byte>())) == 0);
}

TEST_CASE("the bits of a message's fields are those of their keys", "[wire]") {
  const NamedArgument fields[] = {argument("x", 1), argument("y", 2), argument("cmd", "add")};
  const Words words = write_plain(fields);
  const auto plain = wire::FieldWords::inside(reinterpret_cast<const capnp::word*>(words.data()), words.size());
  CHECK(plain.bits == (detail::field_bit(fields[0].key) | detail::field_bit(fields[1].key) | detail::field_bit(fields[2].key)));
}

TEST_CASE("a mumsg of another shape is left to Cap'n Proto", "[wire]") {
  const NamedArgument fields[] = {argument("x", 1), argument("text", "hello")};
  Words words = write_plain(fields);
  const auto reads = [&] { return wire::FieldWords::of(reinterpret_cast<const capnp::word*>(words.data())); };
  REQUIRE(reads());
  SECTION("null") { words[0] = 0; CHECK_FALSE(reads()); }
  SECTION("with a word of data, as a later version may have") {
    words[0] = wire::struct_pointer(0, 1, 1);
    CHECK_FALSE(reads());
  }
  SECTION("with larger fields") {
    words[2] = wire::struct_pointer(2, 4, 2);
    CHECK_FALSE(reads());
  }
  SECTION("fields that are somewhere else") {
    words[1] = wire::list_pointer(1, wire::k_inline_composite, 2 * wire::k_field_words);
    CHECK_FALSE(reads());
  }
  SECTION("fields that are no structs") {
    words[1] = wire::list_pointer(0, 5, 2 * wire::k_field_words);
    CHECK_FALSE(reads());
  }
}

TEST_CASE("a text that is none is not read as one", "[wire]") {
  const NamedArgument fields[] = {argument("text", "1234567")};
  Words words = write_plain(fields);
  const std::size_t pointer = wire::k_words_before_fields + wire::k_field_text;
  const auto text = [&] { return wire::FieldWords::of(reinterpret_cast<const capnp::word*>(words.data()))->text(0); };
  REQUIRE(text() == "1234567");
  SECTION("null") { words[pointer] = 0; CHECK_FALSE(text()); }
  SECTION("empty, without even its NUL") {
    words[pointer] = wire::list_pointer(0, wire::k_bytes, 0);
    CHECK_FALSE(text());
  }
  SECTION("of words") {
    words[pointer] = (words[pointer] & ~(std::uint64_t{7} << 32)) | std::uint64_t{5} << 32;
    CHECK_FALSE(text());
  }
  SECTION("a struct") {
    words[pointer] &= ~std::uint64_t{3};
    CHECK_FALSE(text());
  }
  SECTION("without its NUL") {
    words.back() |= 0xff00000000000000;
    CHECK_FALSE(text());
  }
}

TEST_CASE("no plain message that was spoilt passes for one that lies inside unless it does", "[wire][hostile]") {
  Random random;
  INFO(random.how_to_repeat());
  const Symbol symbol("symbol");
  const NamedArgument fields[] = {argument("name", "a text of some words"), argument("x", 7),
                                  argument("symbol", symbol), argument("none", {})};
  const Words mumsg = write_plain(fields);
  const FieldArgument arguments[] = {"a text of some words", 7, symbol, {}};
  Words request(detail::plain_request_words("name", arguments));
  detail::write_plain_request(reinterpret_cast<std::byte*>(request.data()), "name", 12345, arguments);
  int passed = 0;
  for (int round = 0; round < 400'000; ++round) {
    Words words = random.one_in(2) ? mumsg : request;
    if (random.one_in(3)) words.resize(random.below(words.size() + 1));
    for (std::uint64_t n = random.below(4); n > 0 && !words.empty(); --n) {
      std::uint64_t& word = words[random.below(words.size())];
      switch (random.below(4)) {
        case 0: word ^= std::uint64_t{1} << random.below(64); break;
        case 1: word += random.below(64) - 32; break;
        case 2: word = random.bits(); break;
        default: word ^= random.below(64) << 35; break;
      }
    }
    // On the heap and of its exact size, so that AddressSanitizer sees every step outside.
    words.shrink_to_fit();
    const auto* message = reinterpret_cast<const capnp::word*>(words.data());
    if (!wire::FieldWords::inside(message, words.size()).first) continue;
    ++passed;
    REQUIRE(wire::check_bounds(message, words.size()) == wire::Bounds::inside);
    const auto read = wire::FieldWords::of(message);
    REQUIRE(read);
    std::size_t sum = 0;
    for (unsigned i = 0; i < read->size(); ++i)
      for (const char c : read->text(i).value_or("")) sum += static_cast<unsigned char>(c);
    CHECK(sum < 1'000'000);
  }
  CHECK(passed > 1000);
}
