#include <string>

#include <muproc/value.hpp>

std::string describe(const muproc::Mumsg& message) { return muproc::to_string(message); }
