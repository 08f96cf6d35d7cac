// Bytes: a size, as a type.
//
// Sizes, counts and positions are all integers, and mixing them up compiles. A size in this library is a `Bytes`; it
// becomes a number only where it meets a system call, through `count`.
//
//     Bytes ring = Bytes::kib(256);
//     mmap(nullptr, ring.count, ...)
#pragma once

#include <compare>
#include <cstdint>

namespace muproc {

struct Bytes {
  std::uint64_t count = 0;

  static constexpr Bytes kib(std::uint64_t n) { return {n << 10}; }
  static constexpr Bytes mib(std::uint64_t n) { return {n << 20}; }
  static constexpr Bytes gib(std::uint64_t n) { return {n << 30}; }

  friend constexpr auto operator<=>(Bytes, Bytes) = default;
  friend constexpr Bytes operator+(Bytes a, Bytes b) { return {a.count + b.count}; }
  friend constexpr Bytes operator-(Bytes a, Bytes b) { return {a.count - b.count}; }
  friend constexpr Bytes operator*(Bytes a, std::uint64_t n) { return {a.count * n}; }
  friend constexpr Bytes operator/(Bytes a, std::uint64_t n) { return {a.count / n}; }
};

namespace literals {
constexpr Bytes operator""_B(unsigned long long n) { return {n}; }
constexpr Bytes operator""_KiB(unsigned long long n) { return Bytes::kib(n); }
constexpr Bytes operator""_MiB(unsigned long long n) { return Bytes::mib(n); }
constexpr Bytes operator""_GiB(unsigned long long n) { return Bytes::gib(n); }
}  // namespace literals

}  // namespace muproc
