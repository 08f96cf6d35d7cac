// The identity of a muproc.
//
// A `Pid` names one *incarnation* of a muproc, for ever: it is never used again, so a pid that was kept after its
// owner's death can reach nobody else. (An OS pid, which the kernel recycles, is for people only.)
// Erlang: a pid. cl-muproc: a process object.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>

namespace muproc {

/// 64 bits: node 16, slot 24, incarnation 24. The slot is the muproc's row in the system's directory; the incarnation
/// counts who has lived there. The default value is nil, which is what messages of the system have as their sender.
class Pid {
 public:
  constexpr Pid() = default;
  constexpr explicit Pid(std::uint64_t bits) : bits_(bits) {}
  constexpr Pid(std::uint16_t node, std::uint32_t slot, std::uint32_t incarnation)
      : bits_(std::uint64_t{node} << 48 | std::uint64_t{slot & 0xffffff} << 24 | (incarnation & 0xffffff)) {}

  constexpr std::uint64_t bits() const { return bits_; }
  constexpr std::uint16_t node() const { return static_cast<std::uint16_t>(bits_ >> 48); }
  constexpr std::uint32_t slot() const { return static_cast<std::uint32_t>(bits_ >> 24) & 0xffffff; }
  constexpr std::uint32_t incarnation() const { return static_cast<std::uint32_t>(bits_) & 0xffffff; }

  /// True unless nil.
  constexpr explicit operator bool() const { return bits_ != 0; }
  friend constexpr auto operator<=>(const Pid&, const Pid&) = default;

 private:
  std::uint64_t bits_ = 0;
};

inline constexpr Pid nil_pid{};

/// As Erlang prints one: `<node.slot.incarnation>`, or `nil`.
inline std::string to_string(Pid pid) {
  if (!pid) return "nil";
  return '<' + std::to_string(pid.node()) + '.' + std::to_string(pid.slot()) + '.' +
         std::to_string(pid.incarnation()) + '>';
}

/// The sender of a message, as the first parameter of a `receive` handler; nil when the system itself speaks.
struct From : Pid {
  constexpr From() = default;
  constexpr explicit From(Pid pid) : Pid(pid) {}
};

}  // namespace muproc

template <>
struct std::hash<muproc::Pid> {
  std::size_t operator()(muproc::Pid pid) const noexcept { return std::hash<std::uint64_t>{}(pid.bits()); }
};
