#include "wire/bounds.hpp"

#include <cstring>

namespace muproc::wire {
namespace {

constexpr unsigned k_most_levels = 256;  // as frames and large messages have it

// The parts of a pointer, as Cap'n Proto's encoding has them.
enum class Kind : unsigned { structure = 0, list = 1, far = 2, other = 3 };
constexpr Kind kind_of(std::uint64_t pointer) { return static_cast<Kind>(pointer & 3); }
/// Words from behind the pointer to what it points to; in the tag of a list of structs: how many there are.
constexpr std::int64_t offset_of(std::uint64_t pointer) { return static_cast<std::int32_t>(pointer) >> 2; }
constexpr std::uint64_t data_words(std::uint64_t pointer) { return (pointer >> 32) & 0xffff; }
constexpr std::uint64_t pointer_words(std::uint64_t pointer) { return pointer >> 48; }
constexpr unsigned element_size(std::uint64_t pointer) { return (pointer >> 32) & 7; }
constexpr std::uint64_t list_count(std::uint64_t pointer) { return pointer >> 35; }

constexpr unsigned k_pointers = 6;
constexpr unsigned k_composite = 7;
constexpr std::uint64_t k_bits_per_element[] = {0, 1, 8, 16, 32, 64};

class Walk {
 public:
  Walk(const capnp::word* words, std::size_t count)
      : words_(words), count_(count), budget_(8 * count + 65536) {}

  Bounds pointer(std::uint64_t at, unsigned level) {
    const std::uint64_t pointer = load(at);
    if (pointer == 0) return Bounds::inside;
    switch (kind_of(pointer)) {
      case Kind::structure: return structure(pointer, at, level);
      case Kind::list: return list(pointer, at, level);
      case Kind::far: return Bounds::far;
      case Kind::other: return Bounds::malformed;  // a capability: nothing here can have sent one
    }
    return Bounds::malformed;
  }

  std::uint64_t load(std::uint64_t at) const {
    std::uint64_t word;
    std::memcpy(&word, words_ + at, sizeof word);
    return word;
  }

 private:
  Bounds structure(std::uint64_t pointer, std::uint64_t at, unsigned level) {
    const std::uint64_t size = data_words(pointer) + pointer_words(pointer);
    std::uint64_t target;
    if (!find(pointer, at, size, target)) return Bounds::malformed;
    return pointers(target + data_words(pointer), pointer_words(pointer), level);
  }

  Bounds list(std::uint64_t pointer, std::uint64_t at, unsigned level) {
    const std::uint64_t count = list_count(pointer);
    std::uint64_t target;
    switch (const unsigned size = element_size(pointer)) {
      case k_composite: return find(pointer, at, count + 1, target) ? structures(target, count, level) : Bounds::malformed;
      case k_pointers: return find(pointer, at, count, target) ? pointers(target, count, level) : Bounds::malformed;
      default:
        return find(pointer, at, (count * k_bits_per_element[size] + 63) / 64, target) && (size || spend(count))
                   ? Bounds::inside
                   : Bounds::malformed;
    }
  }

  /// `tag` is where the tag of a list of structs is; `words` come behind it.
  Bounds structures(std::uint64_t tag, std::uint64_t words, unsigned level) {
    const std::uint64_t shape = load(tag);
    const std::uint64_t each = data_words(shape) + pointer_words(shape);
    const std::int64_t count = offset_of(shape);
    if (kind_of(shape) != Kind::structure || count < 0 || static_cast<std::uint64_t>(count) * each > words)
      return Bounds::malformed;
    if (each == 0 && !spend(static_cast<std::uint64_t>(count))) return Bounds::malformed;
    if (pointer_words(shape) == 0) return Bounds::inside;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::uint64_t element = tag + 1 + static_cast<std::uint64_t>(i) * each;
      const Bounds found = pointers(element + data_words(shape), pointer_words(shape), level);
      if (found != Bounds::inside) return found;
    }
    return Bounds::inside;
  }

  Bounds pointers(std::uint64_t from, std::uint64_t count, unsigned level) {
    if (level == k_most_levels) return Bounds::malformed;
    for (std::uint64_t i = 0; i < count; ++i)
      if (const Bounds found = pointer(from + i, level + 1); found != Bounds::inside) return found;
    return Bounds::inside;
  }

  /// Where the pointer leads, when `size` words from there are inside and can still be afforded.
  bool find(std::uint64_t pointer, std::uint64_t at, std::uint64_t size, std::uint64_t& target) {
    const std::int64_t begin = static_cast<std::int64_t>(at) + 1 + offset_of(pointer);
    if (begin < 0 || static_cast<std::uint64_t>(begin) > count_ || size > count_ - static_cast<std::uint64_t>(begin))
      return false;
    target = static_cast<std::uint64_t>(begin);
    return spend(size);
  }

  bool spend(std::uint64_t words) {
    if (words > budget_) return false;
    budget_ -= words;
    return true;
  }

  const capnp::word* words_;
  std::uint64_t count_;
  std::uint64_t budget_;
};

}  // namespace

Bounds walk_bounds(const capnp::word* words, std::size_t count) {
  Walk walk(words, count);
  const std::uint64_t root = walk.load(0);
  if (root != 0 && kind_of(root) == Kind::list) return Bounds::malformed;
  return walk.pointer(0, 0);
}

}  // namespace muproc::wire
