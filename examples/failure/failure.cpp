// Detecting remote failure: a parent that is linked to its child and traps exits hears of the child's end and starts
// another, so many times and no more. A supervisor by hand, as the talk on cl-muproc shows it.
#include <muproc/muproc.hpp>

#include <chrono>

using namespace muproc;

namespace {

void child(Self& self) {
  self.sleep(std::chrono::milliseconds(self.args()["work_ms"].as<int>()));
  self.exit("done");
}

void parent(Self& self) {
  int count = self.args()["count"].as<int>();
  auto spawn_one = [&] {
    self.spawn(gensym("CH-"), child, {.args = {{"work_ms", self.args()["work_ms"]}}, .link = true});
  };
  self.trap_exits(true);
  spawn_one();
  for (;;)
    self.receive(
        on<"terminated", "reason", "name">([&] { return count > 0; }) >> [&](Pid, Reason, std::string_view name) {
          --count;
          self.log().info("{} terminated - restarting...", name);
          spawn_one();
        },
        on<"terminated", "reason">() >> [&] {
          self.log().info("Too many restarts -- terminating.");
          self.exit("too-many-restarts");
        });
}

}  // namespace

MUPROC_ENTRY(parent)
