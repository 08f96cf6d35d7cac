// A CLI11 app as a Command, for completion in shells. Included by the programs' mains only: nobody else needs CLI11.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <string>
#include <utility>

#include "wire/completion.hpp"

namespace muproc::wire {

/// What the values of an option ("--module") or a place ("NAME") of that command can be.
using ValuesOf = std::function<Values(const std::string& command, const std::string& word)>;

/// Commands and options that help does not show are left out.
inline Command command_of(const CLI::App& app, const ValuesOf& values_of) {
  Command command{app.get_name(), app.get_description(), {}, {}, {}};
  for (const CLI::Option* option : app.get_options([](const CLI::Option*) { return true; })) {
    if (option->get_group().empty()) continue;
    CommandWord word{{}, option->get_description(), option->get_items_expected_max() != 0, option->get_expected_max() > 1, {}};
    const bool is_place = option->get_positional();
    if (is_place) word.names = {option->get_name(true)};
    for (const auto& name : option->get_snames()) word.names.push_back('-' + name);
    for (const auto& name : option->get_lnames()) word.names.push_back("--" + name);
    if (is_place || word.takes_value) word.values = values_of(app.get_name(), word.names.back());
    (is_place ? command.places : command.options).push_back(std::move(word));
  }
  for (const CLI::App* inner : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!inner->get_group().empty()) command.commands.push_back(command_of(*inner, values_of));
  return command;
}

}  // namespace muproc::wire
