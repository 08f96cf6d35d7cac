// mubroker: launches a system from its supervision config, in the foreground.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>
#include <iostream>

#include "broker/broker.hpp"
#include "broker/check.hpp"
#include "broker/config.hpp"
#include "broker/config/variables.hpp"
#include "wire/cli_command.hpp"

namespace {

constexpr int k_failed = 1, k_usage = 2, k_bad_config = 4;

/// NAME=VALUE words as settings; throws CLI::ValidationError when one is none.
muproc::broker::Settings settings_of(const std::vector<std::string>& words) {
  muproc::broker::Settings settings;
  for (const std::string& word : words) {
    const auto equals = word.find('=');
    if (equals == word.npos || !muproc::broker::is_variable_name(word.substr(0, equals)))
      throw CLI::ValidationError("--set", '"' + word + "\" is no NAME=VALUE; a name has letters, digits and _");
    settings[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return settings;
}

int run(const std::string& config, const muproc::broker::Settings& settings) {
  auto result = muproc::broker::load_config(config, settings);
  std::cerr << result.report;
  if (!result.system) return k_bad_config;
  result.system->logs.is_captured = true;
  muproc::broker::Broker broker(*std::move(result.system), {.owns_process = true});
  return broker.run();
}

int check(const std::string& config, const muproc::broker::Settings& settings) {
  const auto result = muproc::broker::load_config(config, settings);
  std::cerr << result.report;
  if (!result.system) return k_bad_config;
  std::cout << muproc::broker::describe(*result.system);
  return 0;
}

std::string completion_script(const CLI::App& app, const std::string& shell) {
  using muproc::wire::Values;
  const auto values_of = [](const std::string&, const std::string& word) -> Values {
    if (word == "CONFIG") return {Values::Kind::files, {}};
    if (word == "SHELL") return {Values::Kind::words, {"bash", "zsh", "fish"}};
    return {};
  };
  return muproc::wire::completion(muproc::wire::command_of(app, values_of), *muproc::wire::shell_named(shell));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Runs a system of muprocs: launches it from its config, supervises it, brings back what dies.", "mubroker"};
  app.set_version_flag("--version", "mubroker 0.1.0");
  app.require_subcommand(1);
  std::string config;
  auto* run_command = app.add_subcommand("run", "Launch a system and run it in the foreground until it ends");
  run_command->add_option("CONFIG", config, "The supervision config, a TOML file")->required();
  auto* check_command = app.add_subcommand("check", "Validate a config and print its tree");
  check_command->add_option("CONFIG", config, "The supervision config, a TOML file")->required();
  std::vector<std::string> words;
  for (auto* command : {run_command, check_command})
    command->add_option("--set", words, "NAME=VALUE: what ${NAME} in the config stands for")->type_size(1)->expected(1)->take_all();
  std::string shell;
  auto* completion_command = app.add_subcommand("completion", "A script that completes mubroker's words: put it where your shell looks for such");
  completion_command->add_option("SHELL", shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  muproc::broker::Settings settings;
  try {
    app.parse(argc, argv);
    settings = settings_of(words);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : k_usage;
  }
  if (completion_command->parsed()) {
    std::cout << completion_script(app, shell) << std::flush;
    return 0;
  }
  try {
    return run_command->parsed() ? run(config, settings) : check(config, settings);
  } catch (const std::exception& failure) {
    std::cerr << "mubroker: " << failure.what() << '\n';
    return k_failed;
  }
}
