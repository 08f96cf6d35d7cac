// What makes a strategy trade: it looks at a quote, and has a wish or none. Pure code, but for its bugs: each idea
// here has one of a kind that is met in the wild, and dies of it now and then. (Fixing them is left to the reader.)
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "orders.hpp"

namespace trading {

struct Wish {
  std::int64_t quantity = 0;
  Cents limit = 0;
};

class Idea {
 public:
  virtual ~Idea() = default;
  virtual std::optional<Wish> look(Quote::Reader quote) = 0;
};

/// Runs with the crowd. Divides by the spread: SIGFPE when the market is locked.
std::unique_ptr<Idea> momentum();
/// Waits for prices to come back to where they were. Throws at a price that is none.
std::unique_ptr<Idea> reversion();
/// Throws dice. Follows a wild pointer: SIGSEGV.
std::unique_ptr<Idea> dice(std::mt19937_64 random);

}  // namespace trading
