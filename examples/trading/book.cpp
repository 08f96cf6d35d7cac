#include "book.hpp"

#include <muproc/groups.hpp>

namespace trading {

using namespace muproc;

Book::Book(Self& self) { join(self, k_quotes); }

void Book::handle_info(const Message& message) {
  if (message.is<Quote>()) quotes_.take(message.as<Quote>());
}

static void book(Self& self) { serve<Book>(self, {top_of_book}); }
MUPROC_ENTRY(book)

}  // namespace trading
