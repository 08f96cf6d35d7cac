#include "idea.hpp"

#include <map>
#include <stdexcept>

namespace trading {
namespace {

constexpr std::int64_t k_lot = 10;

Wish buy(Quote::Reader quote) { return {k_lot, quote.getAsk()}; }
Wish sell(Quote::Reader quote) { return {-k_lot, quote.getBid()}; }
Cents middle(Quote::Reader quote) { return (quote.getBid() + quote.getAsk()) / 2; }

class Momentum : public Idea {
 public:
  std::optional<Wish> look(Quote::Reader quote) override {
    Cents& last = last_[quote.getSymbol()];
    const Cents moved = last == 0 ? 0 : middle(quote) - last;
    last = middle(quote);
    const std::int64_t strength = moved / (quote.getAsk() - quote.getBid());
    if (strength > 0) return buy(quote);
    if (strength < 0) return sell(quote);
    return std::nullopt;
  }

 private:
  std::map<std::string, Cents> last_;
};

class Reversion : public Idea {
 public:
  std::optional<Wish> look(Quote::Reader quote) override {
    if (quote.getBid() <= 0) throw std::domain_error(std::string(quote.getSymbol().cStr()) + " has no logarithm at 0");
    Cents& usual = usual_[quote.getSymbol()];
    const Cents now = middle(quote);
    usual = usual == 0 ? now : (15 * usual + now) / 16;
    if (now < usual - 4) return buy(quote);
    if (now > usual + 4) return sell(quote);
    return std::nullopt;
  }

 private:
  std::map<std::string, Cents> usual_;
};

class Dice : public Idea {
 public:
  explicit Dice(std::mt19937_64 random) : random_(random) {}
  std::optional<Wish> look(Quote::Reader quote) override {
    const std::uint64_t thrown = random_() % 1000;
    if (thrown == 0) return follow(reinterpret_cast<const volatile Wish*>(0x40));
    if (thrown < 120) return buy(quote);
    if (thrown < 240) return sell(quote);
    return std::nullopt;
  }

 private:
  static Wish follow(const volatile Wish* wild) { return {wild->quantity, wild->limit}; }
  std::mt19937_64 random_;
};

}  // namespace

std::unique_ptr<Idea> momentum() { return std::make_unique<Momentum>(); }
std::unique_ptr<Idea> reversion() { return std::make_unique<Reversion>(); }
std::unique_ptr<Idea> dice(std::mt19937_64 random) { return std::make_unique<Dice>(random); }

}  // namespace trading
