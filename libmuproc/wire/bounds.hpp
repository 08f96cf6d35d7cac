// One look at a whole message of one segment, after which it can be read without further checks.
//
// Cap'n Proto's readers check each pointer when it is followed, and for that each message needs an arena of segments,
// whose making costs more than all else that is done with a small message. Most messages are one segment, copied to
// private memory before anyone looks at them; here their pointers are all followed once, and what has passed is read as
// an unchecked message. Memory that its sender can still write must not be read so.
#pragma once

#include <capnp/common.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace muproc::wire {

enum class Bounds {
  /// Every pointer leads to something inside, of a known kind, not too deep, and nothing is told so often that reading
  /// it all would take much longer than its size says. The root is a struct, or null.
  inside,
  /// Not one of the above.
  malformed,
  /// It has far pointers: only Cap'n Proto's own reader knows.
  far,
};

/// The long way of `check_bounds`.
Bounds walk_bounds(const capnp::word* words, std::size_t count);

/// Looks at `count` words, whose first is the root pointer.
inline Bounds check_bounds(const capnp::word* words, std::size_t count) {
  if (count == 0) return Bounds::malformed;
  std::uint64_t root;
  std::memcpy(&root, words, sizeof root);
  // A struct of data alone, right behind the root pointer.
  const std::uint64_t data_words = root >> 32;
  if (static_cast<std::uint32_t>(root) == 0 && data_words < count && data_words <= 0xffff) return Bounds::inside;
  // Bytes alone, right behind the pointer to them.
  constexpr std::uint64_t one_pointer = std::uint64_t{1} << 48, bytes = 1 | std::uint64_t{2} << 32;
  if (root == one_pointer && count >= 2) {
    std::uint64_t list;
    std::memcpy(&list, words + 1, sizeof list);
    const std::uint64_t size = list >> 35;
    if ((list ^ size << 35) == bytes && (size + 7) / 8 <= count - 2) return Bounds::inside;
  }
  return walk_bounds(words, count);
}

}  // namespace muproc::wire
