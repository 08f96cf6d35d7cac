// A ledger that crashes, and loses no deposit: its mailbox is kept across its restarts (docs/kept-mailboxes.md).
//
// What it has booked it keeps in a file, since its memory goes with it. A deposit is booked by one append; each 250th is
// one too many for it: it dies of it, before it has booked it. That one is dropped, and named.
#include <muproc/muproc.hpp>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

using namespace muproc;
using namespace std::chrono_literals;

namespace {

/// One line for each deposit that was booked.
class Book {
 public:
  Book() : path_("/tmp/muproc-ledger-" + std::to_string(::getppid())), file_(path_, std::ios::app) {}
  void add(int amount) { file_ << amount << std::endl; }
  int deposits() const {
    std::ifstream lines(path_);
    int count = 0;
    for (std::string line; std::getline(lines, line);) ++count;
    return count;
  }
  void close() { std::remove(path_.c_str()); }

 private:
  std::string path_;
  std::ofstream file_;
};

void ledger(Self& self) {
  const int crash_each = self.args()["crash_each"].as<int>();
  Book book;
  for (;;)
    self.receive(
        on<"deposit">() >>
            [&](int amount) {
              if (amount % crash_each == 0) std::abort();
              book.add(amount);
            },
        on<"how_many">() >> [&](From from) { self.send(from, "booked", book.deposits()); },
        on<"close">() >> [&] { book.close(); });
}

void teller(Self& self) {
  const int deposits = self.args()["deposits"].as<int>();
  for (int amount = 1; amount <= deposits; ++amount) self.send("ledger", "deposit", amount);
  std::printf("%s has sent %d deposits.\n", self.name().c_str(), deposits);
}

/// Asks until all that was sent has been booked or dropped. What it asks waits, too, when it comes at the wrong moment.
void auditor(Self& self) {
  const int deposits = self.args()["deposits"].as<int>();
  const int dropped = deposits / 250;
  int booked = 0;
  while (booked + dropped < deposits) {
    self.send("ledger", "how_many", true);
    self.receive(on<"booked">() >> [&](int count) { booked = count; });
    self.sleep(10ms);
  }
  std::printf("%d deposits were sent: %d are booked, %d were dropped in hand.\n", deposits, booked, deposits - booked);
  self.send("ledger", "close", true);
}

}  // namespace

MUPROC_ENTRY(ledger)
MUPROC_ENTRY(teller)
MUPROC_ENTRY(auditor)
