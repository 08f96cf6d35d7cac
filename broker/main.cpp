// mubroker: launches a system from its supervision config, in the foreground.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>
#include <iostream>

#include "broker/broker.hpp"
#include "broker/check.hpp"
#include "broker/config.hpp"

namespace {

constexpr int k_failed = 1, k_usage = 2, k_bad_config = 4;

int run(const std::string& config) {
  auto result = muproc::broker::load_config(config);
  std::cerr << result.report;
  if (!result.system) return k_bad_config;
  muproc::broker::Broker broker(*std::move(result.system), {});
  return broker.run();
}

int check(const std::string& config) {
  const auto result = muproc::broker::load_config(config);
  std::cerr << result.report;
  if (!result.system) return k_bad_config;
  std::cout << muproc::broker::describe(*result.system);
  return 0;
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
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : k_usage;
  }
  try {
    return run_command->parsed() ? run(config) : check(config);
  } catch (const std::exception& failure) {
    std::cerr << "mubroker: " << failure.what() << '\n';
    return k_failed;
  }
}
