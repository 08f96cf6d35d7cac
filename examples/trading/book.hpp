// Generic server `book`: what things cost now.
#pragma once

#include <muproc/muproc.hpp>

#include <optional>
#include <string>

#include "quotes.hpp"

namespace trading {

class Book {
 public:
  explicit Book(muproc::Self& self);

  /// Nothing when no quote has come yet.
  std::optional<Top> top(const std::string& symbol) const { return quotes_.top(symbol); }
  /// Quotes.
  void handle_info(const muproc::Message& message);

 private:
  Quotes quotes_;
};

inline constexpr muproc::Call<&Book::top> top_of_book{"top", "book"};

}  // namespace trading
