// What the scripts for completion in shells ask.
#include <set>

#include "tools/common/text.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/codec.hpp"
#include "wire/control_socket.hpp"

namespace muproc::tools {
namespace {

// Somebody waits at the keyboard.
constexpr std::chrono::milliseconds k_at_the_keyboard{500};

std::string lines_of(const std::set<std::string>& words) {
  std::string lines;
  for (const std::string& word : words)
    if (is_printable(word)) lines += word + '\n';
  return lines;
}

}  // namespace

std::string complete_names(const Context& context) {
  BrokerClient broker(context.system, k_at_the_keyboard);
  const Nodes nodes = broker.nodes();
  std::set<std::string> names;
  for (const Node& node : nodes.all()) {
    names.insert(name_of(node));
    for (const auto port : node.getPorts()) names.insert(wire::string(port));
  }
  return lines_of(names);
}

std::string complete_systems() {
  std::set<std::string> names;
  for (const auto& folder : wire::system_folders()) names.insert(folder.filename().string());
  return lines_of(names);
}

}  // namespace muproc::tools
