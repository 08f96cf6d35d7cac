#include "settings.hpp"

#include <unistd.h>

#include <charconv>
#include <fstream>
#include <functional>
#include <stdexcept>

namespace trading {

using namespace muproc;

namespace {

/// When that process began, in the kernel's own words: with its pid it names one process and no later one.
std::string birth_of(int os_pid) {
  std::ifstream in("/proc/" + std::to_string(os_pid) + "/stat");
  std::string text;
  std::getline(in, text);
  std::istringstream fields(text.substr(text.rfind(')') + 1));
  std::string field;
  for (int i = 3; i <= 22; ++i) fields >> field;
  return field;
}

}  // namespace

std::filesystem::path state_folder(const Self& self) {
  std::filesystem::path folder = self.args()["state"].as<std::string>();
  if (folder.empty()) {
    const int broker = ::getppid();  // everybody's parent
    folder =
        std::filesystem::temp_directory_path() / ("muproc-trading-" + std::to_string(broker) + '-' + birth_of(broker));
  }
  std::filesystem::create_directories(folder);
  return folder;
}

std::int64_t number(const Self& self, const char* name) {
  const Value& value = self.args()[name];
  if (const auto number = value.get<std::int64_t>()) return *number;
  const std::string text = value.as<std::string>();
  std::int64_t read = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read);
  if (error != std::errc() || end != text.data() + text.size())
    throw std::invalid_argument(std::string(name) + " is \"" + text + "\", which is no number");
  return read;
}

std::vector<std::string> words(const Self& self, const char* name) {
  std::vector<std::string> all;
  for (const Value& value : self.args()[name].as<List>()) all.push_back(value.as<std::string>());
  return all;
}

std::mt19937_64 randomness(const Self& self) {
  const auto seed = static_cast<std::uint64_t>(number(self, "seed"));
  if (seed == 0) return std::mt19937_64{std::random_device{}()};
  return std::mt19937_64{seed ^ std::hash<std::string>{}(self.name()) ^ self.pid().bits()};
}

}  // namespace trading
