// A decoder as vendors ship them: quick, right, and on some inputs it follows a wild pointer. It runs as a program of its
// own, so that its crash is its own.
//
// A frame is a number to be decoded; those that are divisible by 13 crash it.
#include <muproc/muproc.hpp>

using namespace muproc;

namespace {

std::int64_t decode(std::int64_t frame) {
  if (frame % 13 == 0) {
    const auto* wild = reinterpret_cast<volatile const std::int64_t*>(0x40);
    return *wild;
  }
  return frame * frame;
}

void decoder(Self& self) {
  for (;;)
    self.receive(on<"frame">() >> [&](From from, std::int64_t frame) {
      self.send(from, "frame", frame, "decoded", decode(frame));
    });
}

}  // namespace

int main(int argc, char** argv) { return muproc::main(argc, argv, decoder); }
