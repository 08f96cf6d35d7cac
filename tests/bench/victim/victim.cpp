// mubench_victim: the muproc of spawn/exec and restart/exec, a program by itself that is no larger than it must be.
#include <muproc/muproc.hpp>

#include <chrono>

namespace {

void victim(muproc::Self& self) {
  for (;;)
    self.receive(muproc::on<"hello">() >> [&](muproc::From from) {
      self.send(from, "heard", std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now().time_since_epoch()).count());
    });
}

}  // namespace

int main(int argc, char** argv) { return muproc::main(argc, argv, victim); }
