// One look at a whole message: what passes can be read without further checks.
#include "wire/bounds.hpp"

#include <capnp/any.h>
#include <capnp/message.h>
#include <capnp/serialize.h>

#include <cstring>
#include <memory>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"
#include "wire/codec.hpp"

using namespace muproc;
using wire::Bounds;

namespace {

using Words = std::vector<std::uint64_t>;

/// An exact copy on the heap, so that AddressSanitizer sees every step outside.
struct Copy {
  explicit Copy(const Words& from) : words(new capnp::word[from.size()]) {
    if (!from.empty()) std::memcpy(static_cast<void*>(words.get()), from.data(), from.size() * 8);
  }
  capnp::AnyPointer::Reader unchecked() const {
    return capnp::AnyPointer::Reader(capnp::_::PointerReader::getRootUnchecked(words.get()));
  }
  std::unique_ptr<capnp::word[]> words;
};

Bounds check(const Words& words) { return wire::check_bounds(Copy(words).words.get(), words.size()); }

/// Reads everything there is, by the shapes that the message itself gives.
std::uint64_t read_all(capnp::AnyPointer::Reader pointer);
std::uint64_t read_all(capnp::AnyStruct::Reader structure) {
  std::uint64_t sum = 0;
  for (const auto byte : structure.getDataSection()) sum += byte;
  for (const auto pointer : structure.getPointerSection()) sum += read_all(pointer);
  return sum;
}
std::uint64_t read_all(capnp::AnyPointer::Reader pointer) {
  if (pointer.isStruct()) return read_all(pointer.getAs<capnp::AnyStruct>());
  if (!pointer.isList()) return 0;
  const auto list = pointer.getAs<capnp::AnyList>();
  std::uint64_t sum = 0;
  switch (list.getElementSize()) {
    case capnp::ElementSize::POINTER:
      for (const auto element : list.as<capnp::List<capnp::AnyPointer>>()) sum += read_all(element);
      return sum;
    case capnp::ElementSize::INLINE_COMPOSITE:
      for (const auto element : list.as<capnp::List<capnp::AnyStruct>>()) sum += read_all(element);
      return sum;
    default:
      for (const auto byte : list.getRawBytes()) sum += byte;
      return sum;
  }
}

/// Does Cap'n Proto's own reader follow every pointer of it?
bool capnp_accepts(const Words& words) {
  const kj::ArrayPtr<const capnp::word> segment(reinterpret_cast<const capnp::word*>(words.data()), words.size());
  capnp::SegmentArrayMessageReader reader({&segment, 1}, {8 * words.size() + 65536, 64});
  try {
    reader.getRoot<capnp::AnyPointer>().targetSize();
    return true;
  } catch (const kj::Exception&) {
    return false;
  }
}

Words some_message() {
  capnp::MallocMessageBuilder message(1024, capnp::AllocationStrategy::FIXED_SIZE);
  const Mumsg inner{{"pi", 3.25}, {"names", List{"a", Symbol("b"), nullptr, true}}, {"data", Data(33, std::byte{7})}};
  wire::write(message.initRoot<wire::Mumsg>(),
              Mumsg{{"cmd", Symbol("square")}, {"x", 7}, {"inner", inner}, {"list", List{inner, 1, List{}}},
                    {"reason", Reason::linked("child", Pid(0, 3, 1), Reason::exception("E", "what"))}});
  const auto segments = message.getSegmentsForOutput();
  REQUIRE(segments.size() == 1);
  Words words(segments[0].size());
  std::memcpy(words.data(), segments[0].begin(), words.size() * 8);
  return words;
}

constexpr std::uint64_t struct_pointer(std::int64_t offset, std::uint64_t data, std::uint64_t pointers) {
  return (static_cast<std::uint64_t>(offset) << 2 & 0xffffffff) | data << 32 | pointers << 48;
}
constexpr std::uint64_t list_pointer(std::int64_t offset, std::uint64_t size, std::uint64_t count) {
  return 1 | (static_cast<std::uint64_t>(offset) << 2 & 0xffffffff) | size << 32 | count << 35;
}

}  // namespace

TEST_CASE("what was built passes, and is read unchecked as it is read checked", "[wire][bounds]") {
  const Words words = some_message();
  CHECK(check(words) == Bounds::inside);
  const kj::ArrayPtr<const capnp::word> segment(reinterpret_cast<const capnp::word*>(words.data()), words.size());
  capnp::SegmentArrayMessageReader reader({&segment, 1});
  CHECK(read_all(Copy(words).unchecked()) == read_all(reader.getRoot<capnp::AnyPointer>()));
}

TEST_CASE("no words are no message, a null root is one", "[wire][bounds]") {
  CHECK(check({}) == Bounds::malformed);
  CHECK(check({0}) == Bounds::inside);
  CHECK(check({struct_pointer(-1, 0, 0)}) == Bounds::inside);
}

TEST_CASE("a pointer must lead inside, with all that it points to", "[wire][bounds]") {
  CHECK(check({struct_pointer(0, 1, 0), 7}) == Bounds::inside);
  CHECK(check({struct_pointer(0, 2, 0), 7}) == Bounds::malformed);
  CHECK(check({struct_pointer(1, 1, 0), 7}) == Bounds::malformed);
  CHECK(check({struct_pointer(-2, 1, 0), 7}) == Bounds::malformed);
  CHECK(check({struct_pointer(0x1fffffff, 1, 0), 7}) == Bounds::malformed);
  CHECK(check({struct_pointer(0, 0, 1), list_pointer(0, 2, 8), 7}) == Bounds::inside);
  CHECK(check({struct_pointer(0, 0, 1), list_pointer(0, 2, 9), 7}) == Bounds::malformed);
  CHECK(check({struct_pointer(0, 0, 1), list_pointer(0, 6, 0x1fffffff), 7}) == Bounds::malformed);
}

TEST_CASE("a list of structs must be as long as its tag says", "[wire][bounds]") {
  const std::uint64_t root = struct_pointer(0, 0, 1);
  CHECK(check({root, list_pointer(0, 7, 2), struct_pointer(2, 1, 0), 1, 2}) == Bounds::inside);
  CHECK(check({root, list_pointer(0, 7, 2), struct_pointer(3, 1, 0), 1, 2}) == Bounds::malformed);
  CHECK(check({root, list_pointer(0, 7, 3), struct_pointer(2, 1, 0), 1, 2}) == Bounds::malformed);
  CHECK(check({root, list_pointer(0, 7, 2), struct_pointer(-1, 1, 0), 1, 2}) == Bounds::malformed);
  CHECK(check({root, list_pointer(0, 7, 2), list_pointer(2, 1, 0), 1, 2}) == Bounds::malformed);
}

TEST_CASE("what is told more often than its size allows is refused", "[wire][bounds]") {
  const std::uint64_t root = struct_pointer(0, 0, 1);
  CHECK(check({root, list_pointer(0, 0, 1000)}) == Bounds::inside);
  CHECK(check({root, list_pointer(0, 0, 100'000'000)}) == Bounds::malformed);
  CHECK(check({root, list_pointer(0, 7, 0), struct_pointer(100'000'000, 0, 0)}) == Bounds::malformed);
  // A pyramid: each level points to the next twice, so that all is read 2^40 times.
  Words pyramid{struct_pointer(0, 0, 2)};
  for (int level = 0; level < 40; ++level) {
    pyramid.push_back(struct_pointer(1, 0, 2));
    pyramid.push_back(struct_pointer(0, 0, 2));
  }
  pyramid.insert(pyramid.end(), {0, 0});
  CHECK(check(pyramid) == Bounds::malformed);
}

TEST_CASE("what is nested too deeply is refused, and a circle too", "[wire][bounds]") {
  Words deep{struct_pointer(0, 0, 1)};
  for (int level = 0; level < 300; ++level) deep.push_back(struct_pointer(0, 0, 1));
  deep.push_back(0);
  CHECK(check(deep) == Bounds::malformed);
  CHECK(check({struct_pointer(0, 0, 1), struct_pointer(-1, 0, 1)}) == Bounds::malformed);
}

TEST_CASE("capabilities and lists as roots are no messages, far pointers are for another reader", "[wire][bounds]") {
  CHECK(check({3}) == Bounds::malformed);
  CHECK(check({list_pointer(0, 2, 8), 7}) == Bounds::malformed);
  CHECK(check({2, 0}) == Bounds::far);
  CHECK(check({struct_pointer(0, 0, 1), 2}) == Bounds::far);
}

TEST_CASE("whatever passes can be read to the end without a step outside", "[wire][bounds][property]") {
  const Words good = some_message();
  test::Random random;
  INFO(random.how_to_repeat());
  unsigned passed = 0;
  for (int round = 0; round < 20'000; ++round) {
    Words words = good;
    for (std::uint64_t i = random.below(4); i < 4; ++i) {
      std::uint64_t& word = words[random.below(words.size())];
      switch (random.below(4)) {
        case 0: word ^= std::uint64_t{1} << random.below(64); break;
        case 1: word = random.bits(); break;
        case 2: word = words[random.below(words.size())]; break;
        default: word += random.below(3) << 2; break;
      }
    }
    if (random.one_in(4)) words.resize(1 + random.below(words.size()));
    if (check(words) != Bounds::inside) continue;
    ++passed;
    REQUIRE(capnp_accepts(words));
    const Copy copy(words);
    read_all(copy.unchecked());
    try {
      wire::read(copy.unchecked().getAs<wire::Mumsg>());
    } catch (const std::exception&) {  // fields of kinds that they are not
    } catch (const kj::Exception&) {
    }
  }
  CHECK(passed > 100);
}
