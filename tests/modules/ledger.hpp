// A server's interface in two versions, one for each module: libledger_v1.so and libledger_v2.so.
#include <muproc/muproc.hpp>

#include <string>

using namespace muproc;

struct Entry {
  std::string account;
  std::int64_t amount = 0;
#if LEDGER_VERSION >= 2
  std::string currency = "EUR";
#endif
};

struct Ledger {
  std::int64_t post(const Entry& entry) { return sum += entry.amount; }
  std::int64_t balance() { return sum; }
#if LEDGER_VERSION >= 2
  void close() {}
#endif
  std::int64_t sum = 0;
};

inline constexpr Call<&Ledger::post> post{"post", "ledger"};
inline constexpr Call<&Ledger::balance> balance{"balance", "ledger"};

void ledger(Self& self) { serve<Ledger>(self, {post, balance}); }
MUPROC_ENTRY(ledger)

/// Tells whoever asks what its calls of the ledger come to.
void bookkeeper(Self& self) {
  const auto tell = [&](Pid to, auto&& call) {
    try {
      self.send(to, "value", call());
    } catch (const CallError& error) {
      self.send(to, "error", error.what());
    }
  };
  for (;;)
    self.receive(on<"cmd">(is("post")) >> [&](From from) { tell(from, [&] { return post(self, Entry{"rent", 5}); }); },
                 on<"cmd">(is("balance")) >> [&](From from) { tell(from, [&] { return balance(self); }); },
#if LEDGER_VERSION >= 2
                 on<"cmd">(is("close")) >> [&](From from) {
                   constexpr Call<&Ledger::close> close{"close", "ledger"};
                   tell(from, [&] { return close(self), true; });
                 },
#endif
                 on<"cmd">() >> [] {});
}
MUPROC_ENTRY(bookkeeper)
