#include "broker/config/variables.hpp"

#include <algorithm>

#include "broker/config/suggest.hpp"

namespace muproc::broker {

namespace {

class Expansion {
 public:
  Expansion(std::string_view text, Variables& variables) : rest_(text), variables_(variables) {}

  /// The text with its variables put in; what is wrong with them is in `mistakes`.
  std::string run() {
    std::string out;
    while (!rest_.empty()) {
      const auto dollar = std::min(rest_.find('$'), rest_.size());
      out += take(dollar);
      if (rest_.starts_with("$$"))
        out += take(2).front();
      else if (rest_.starts_with("${"))
        out += variable();
      else if (!rest_.empty())
        out += take(1);  // any other dollar sign is one
    }
    return out;
  }

  std::vector<std::string> mistakes;
  bool has_changed = false;

 private:
  std::string_view take(std::size_t size) {
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    has_changed |= taken == "$$";
    return taken;
  }

  std::string variable() {
    has_changed = true;
    const auto end = rest_.find('}');
    if (end == rest_.npos) {
      mistakes.push_back(in_quotes(rest_) + " has no \"}\"; a dollar sign before a brace is written \"$$\"");
      return std::string(take(rest_.size()));
    }
    const std::string_view inside = rest_.substr(2, end - 2);
    take(end + 1);
    const auto colon = inside.find(":-");
    const std::string_view name = inside.substr(0, colon);
    if (!is_variable_name(name)) {
      mistakes.push_back(in_quotes(name) + " cannot be a variable's name; a dollar sign before a brace is written \"$$\"");
      return {};
    }
    auto value = variables_.find(name);
    // As in a shell, an empty one is replaced too.
    if (colon != inside.npos && (!value || value->empty())) return std::string(inside.substr(colon + 2));
    if (!value)
      mistakes.push_back("the variable " + in_quotes(name) + " is not set; say what it is with --set " + std::string(name) +
                         "=… or in the environment, or write ${" + std::string(name) + ":-otherwise}");
    return value.value_or(std::string());
  }

  std::string_view rest_;
  Variables& variables_;
};

}  // namespace

bool is_variable_name(std::string_view name) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return !name.empty() && is_letter(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return is_letter(c) || is_digit(c); });
}

std::optional<std::string> Variables::find(std::string_view name) {
  const auto setting = settings_.find(name);
  if (setting == settings_.end()) return environment_(std::string(name));
  used_.insert(setting->first);
  return setting->second;
}

std::vector<std::string> Variables::unused() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : settings_)
    if (!used_.contains(name)) names.push_back(name);
  return names;
}

void expand(Node& node, Variables& variables, Diagnostics& diagnostics) {
  if (auto* table = std::get_if<Node::Table>(&node.value))
    for (Entry& entry : *table) expand(entry.node, variables, diagnostics);
  if (auto* array = std::get_if<Node::Array>(&node.value))
    for (Node& element : *array) expand(element, variables, diagnostics);
  auto* text = std::get_if<std::string>(&node.value);
  if (!text || text->find('$') == text->npos) return;
  Expansion expansion(*text, variables);
  std::string expanded = expansion.run();
  node.is_expanded = expansion.has_changed;
  *text = std::move(expanded);
  for (std::string& mistake : expansion.mistakes) diagnostics.error(node.at, std::move(mistake));
}

}  // namespace muproc::broker
