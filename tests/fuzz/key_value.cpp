// Fields as people type them, one a line: read or refused with a KeyValueError; what was read is printed, and read again as
// the same text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "tools/common/json.hpp"
#include "tools/common/key_value.hpp"
#include "tools/common/to_json.hpp"

using namespace muproc;
using namespace muproc::tools;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::istringstream in(std::string(reinterpret_cast<const char*>(data), size));
  std::vector<std::string> words;
  for (std::string word; std::getline(in, word);) words.push_back(word);
  Mumsg mumsg;
  try {
    mumsg = parse_fields(words);
  } catch (const KeyValueError&) {
    return 0;
  }
  std::vector<std::string> printed;
  for (const auto& [name, value] : mumsg) printed.push_back(format(Mumsg{{name, value}}));
  // Texts rather than values are compared: a NaN equals nothing.
  if (format(parse_fields(printed)) != format(mumsg)) std::abort();
  JsonWriter json;
  write_value(json, mumsg);
  json.take();
  return 0;
}
