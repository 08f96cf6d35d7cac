#include "tools/common/json.hpp"

namespace muproc::tools {

std::string on_one_line(const std::string& json) {
  std::string line;
  for (std::size_t at = 0; at < json.size(); ++at) {
    if (json[at] != '\n') {
      line += json[at];
      continue;
    }
    while (at + 1 < json.size() && json[at + 1] == ' ') ++at;
    if (!line.empty() && line.back() == ',') line += ' ';
  }
  return line;
}

}  // namespace muproc::tools
