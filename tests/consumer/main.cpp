// Builds a mumsg and reads it back: the headers are found, the library links and loads.
#include <cstdint>
#include <iostream>

#include <muproc/muproc.hpp>

int main() {
  muproc::Mumsg message{{"cmd", muproc::Symbol("square")}, {"x", 3}};
  std::cout << muproc::to_string(message) << '\n';
  return message["x"].as<std::int64_t>() == 3 ? 0 : 1;
}
