// A code module as a user writes it.
#include <muproc/muproc.hpp>

using namespace muproc;

void squarer(Self& self) {
  for (;;)
    self.receive(on<"x">() >> [&](From from, double x) { self.send(from, "answer", x * x); },
                 on<"cmd">(is("quit")) >> [&] { self.exit("received-quit-cmd"); });
}
MUPROC_ENTRY(squarer)
