// Variables in a config's strings: `${NAME}`, `${NAME:-otherwise}`, and `$$` for a dollar sign.
//
// What a name stands for is said with `--set NAME=VALUE`, or else by the environment. They are put in after the TOML has
// been read, so what they stand for is text and nothing but text: no quote in it ends a string, no bracket begins a table.
// A string that is wanted as a number or a boolean may come from a variable. Keys have no variables.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/config/document.hpp"
#include "broker/spec.hpp"

namespace muproc::broker {

/// True for a letter or `_`, then letters, digits and `_`.
bool is_variable_name(std::string_view name);

class Variables {
 public:
  using Environment = std::function<std::optional<std::string>(const std::string& name)>;
  Variables(Settings settings, Environment environment) : settings_(std::move(settings)), environment_(std::move(environment)) {}

  std::optional<std::string> find(std::string_view name);
  /// Settings that nothing has asked for.
  [[nodiscard]] std::vector<std::string> unused() const;

 private:
  Settings settings_;
  Environment environment_;
  std::set<std::string, std::less<>> used_;
};

/// Puts the variables of all strings in, at any depth. Reports those that stand for nothing.
void expand(Node& node, Variables& variables, Diagnostics& diagnostics);

}  // namespace muproc::broker
