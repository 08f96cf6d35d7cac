// The kinds of messages that round trips and streams are made of. Each can send the n-th of its messages, all of whose
// payload depends on n, and receive one, all of whose payload it looks at.
#pragma once

#include <array>
#include <cstring>
#include <span>

#include "bench/bench.capnp.h"
#include "bench/live.hpp"

namespace muproc::bench {

[[noreturn]] inline void spoiled(Self& self) { self.exit("a message came that was not the one that was sent"); }

/// A struct of 56 bytes, without pointers.
struct Typed56 {
  static void send(Self& self, Pid to, std::uint64_t n) {
    self.send<Ball>(to, [&](Ball::Builder ball) {
      ball.setNumber(n);
      ball.setA(static_cast<double>(n));
      ball.setB(0.5);
      ball.setC(n * 3);
      ball.setD(n ^ 0xff);
      ball.setE(-static_cast<std::int64_t>(n));
      ball.setF(7);
    });
  }
  template <class Then>
  static void receive(Self& self, Then&& then) {
    self.receive(on<Ball>() >> [&](From from, Ball::Reader ball) {
      const std::uint64_t n = ball.getNumber();
      const std::uint64_t sum = static_cast<std::uint64_t>(ball.getA() + ball.getB()) + ball.getC() + ball.getD() +
                                static_cast<std::uint64_t>(ball.getE() + ball.getF());
      if (sum != n + n * 3 + (n ^ 0xff) - n + 7) spoiled(self);
      then(from, n);
    });
  }
};

/// A struct without any field: what the number is, only the order tells.
struct Typed0 {
  static void send(Self& self, Pid to, std::uint64_t) {
    self.send<Nothing>(to, [](Nothing::Builder) {});
  }
  template <class Then>
  static void receive(Self& self, Then&& then) {
    self.receive(on<Nothing>() >> [&](From from, Nothing::Reader) { then(from, 0); });
  }
};

/// A list of so many bytes.
template <unsigned Size>
struct TypedList {
  static constexpr unsigned k_words = Size / 8;
  static void send(Self& self, Pid to, std::uint64_t n) {
    self.send<Block>(to, [&](Block::Builder block) {
      auto words = block.initWords(k_words);
      for (unsigned i = 0; i < k_words; ++i) words.set(i, n + i);
    });
  }
  template <class Then>
  static void receive(Self& self, Then&& then) {
    self.receive(on<Block>() >> [&](From from, Block::Reader block) {
      const auto words = block.getWords();
      if (words.size() != k_words) spoiled(self);
      std::uint64_t sum = 0;
      for (unsigned i = 0; i < k_words; ++i) sum += words[i] - i;
      const std::uint64_t n = words[0];
      if (sum != n * k_words) spoiled(self);
      then(from, n);
    });
  }
};

struct Mumsg1 {
  static void send(Self& self, Pid to, std::uint64_t n) { self.send(to, "n", n); }
  template <class Then>
  static void receive(Self& self, Then&& then) {
    self.receive(on<"n">() >> [&](From from, std::uint64_t n) { then(from, n); });
  }
};

struct Mumsg2 {
  static void send(Self& self, Pid to, std::uint64_t n) { self.send(to, "cmd", "square", "x", static_cast<double>(n)); }
  template <class Then>
  static void receive(Self& self, Then&& then) {
    self.receive(on<"cmd", "x">(is("square"), anything) >> [&](From from, std::string_view, double x) { then(from, static_cast<std::uint64_t>(x)); });
  }
};

struct Mumsg8 {
  static void send(Self& self, Pid to, std::uint64_t n) {
    self.send(to, "cmd", "quote", "symbol", "VOD.L", "number", n, "bid", static_cast<double>(n), "ask", static_cast<double>(n) + 0.5, "size",
              n * 3, "firm", true, "venue", n ^ 0xff);
  }
  template <class Then>
  static void receive(Self& self, Then&& then) {
    self.receive(on<"cmd", "symbol", "number", "bid", "ask", "size", "firm", "venue">(is("quote")) >>
                 [&](From from, std::string_view, std::string_view symbol, std::uint64_t n, double bid, double ask, std::uint64_t size,
                     bool firm, std::uint64_t venue) {
                   if (symbol != "VOD.L" || bid + 0.5 != ask || size != n * 3 || !firm || venue != (n ^ 0xff)) spoiled(self);
                   then(from, n);
                 });
  }
};

/// 64 bytes that nobody else gives a meaning to.
struct Bytes64 {
  static void send(Self& self, Pid to, std::uint64_t n) {
    std::array<std::uint64_t, 8> words;
    for (std::size_t i = 0; i < words.size(); ++i) words[i] = n + i;
    self.send(to, std::as_bytes(std::span(words)));
  }
  template <class Then>
  static void receive(Self& self, Then&& then) {
    self.receive(on_bytes >> [&](From from, std::span<const std::byte> bytes) {
      std::array<std::uint64_t, 8> words;
      if (bytes.size() != sizeof words) spoiled(self);
      std::memcpy(words.data(), bytes.data(), sizeof words);
      std::uint64_t sum = 0;
      for (std::size_t i = 0; i < words.size(); ++i) sum += words[i] - i;
      if (sum != words[0] * words.size()) spoiled(self);
      then(from, words[0]);
    });
  }
};

}  // namespace muproc::bench
