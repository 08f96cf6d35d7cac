// What trading.toml says to a muproc.
#pragma once

#include <muproc/muproc.hpp>

#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace trading {

/// Where this run keeps its books; made if need be. `state`, or when that is empty a folder of this run's own.
std::filesystem::path state_folder(const muproc::Self& self);
/// A whole number, also one that came through a variable, as text. Throws std::invalid_argument when it is neither.
std::int64_t number(const muproc::Self& self, const char* name);
std::vector<std::string> words(const muproc::Self& self, const char* name);
/// From `seed`, other numbers in each muproc and each of its lives; from chance when that is 0.
std::mt19937_64 randomness(const muproc::Self& self);

}  // namespace trading
