// The decoder's client: asks for frame after frame, watches the decoder with a monitor, and goes on when it dies.
#include <muproc/muproc.hpp>

#include <cstdio>
#include <optional>

using namespace muproc;
using namespace std::chrono_literals;

namespace {

/// The decoder that lives now; its supervisor brings it back, so we wait for it a little.
Pid find_decoder(Self& self) {
  for (;;) {
    if (const Pid pid = self.find("decoder")) return pid;
    self.sleep(1ms);
  }
}

struct Outcome {
  std::optional<std::int64_t> decoded;
  Reason down;
};

Outcome ask(Self& self, std::int64_t frame) {
  const Pid decoder = find_decoder(self);
  const Ref watch = self.monitor(decoder);
  self.send(decoder, "frame", frame);
  const auto this_frame = [frame](std::int64_t answered) { return answered == frame; };
  const auto this_ref = [watch](Pid, Reason, std::int64_t ref) { return static_cast<std::uint64_t>(ref) == watch.bits; };
  Outcome outcome = self.receive(
      on<"frame", "decoded">(this_frame) >> [&](std::int64_t, std::int64_t decoded) { return Outcome{decoded, {}}; },
      on<"terminated", "reason", "ref">(this_ref) >> [&](Pid, Reason reason) { return Outcome{std::nullopt, reason}; });
  self.demonitor(watch, true);
  return outcome;
}

void viewer(Self& self) {
  const auto frames = self.args()["frames"].as<std::int64_t>();
  int right = 0, wrong = 0, down = 0;
  for (std::int64_t frame = 1; frame <= frames; ++frame) {
    const Outcome outcome = ask(self, frame);
    if (outcome.decoded) {
      ++(*outcome.decoded == frame * frame ? right : wrong);
    } else {
      ++down;
      std::printf("frame %lld: the decoder is down: %s\n", static_cast<long long>(frame), to_string(outcome.down).c_str());
    }
  }
  std::printf("%d frames decoded, %d wrong, %d crashed the decoder\n", right, wrong, down);
}

}  // namespace

MUPROC_ENTRY(viewer)
