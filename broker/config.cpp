#include "broker/config.hpp"

#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "broker/config/diagnostics.hpp"
#include "broker/config/document.hpp"
#include "broker/config/drafts.hpp"
#include "broker/config/includes.hpp"
#include "broker/config/reader.hpp"
#include "broker/config/tree.hpp"
#include "broker/config/variables.hpp"

namespace muproc::broker {

namespace {

namespace fs = std::filesystem;

std::optional<std::string> from_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value ? std::optional<std::string>(value) : std::nullopt;
}

std::optional<SystemSpec> read(ConfigFiles& files, Variables& variables, const fs::path& file, Diagnostics& diagnostics) {
  if (!files.document.is_readable) return std::nullopt;
  expand(files.document.root, variables, diagnostics);
  Reader reader(diagnostics, files);
  const SystemDraft drafts = read_system(reader, files.document, file.stem().string());
  SystemSpec system = build_tree(reader, drafts);
  if (diagnostics.errors() > 0) return std::nullopt;
  warn_of_the_pointless(reader, drafts, system);
  system.config_dir = files.directories.front();
  system.config_file = fs::absolute(file).lexically_normal();
  return system;
}

}  // namespace

ConfigResult load_config(const fs::path& file, const Settings& settings) {
  try {
    return parse_config(text_of(file), file, settings);
  } catch (const std::runtime_error& failure) {
    return {.system = {}, .report = file.string() + ": error: cannot read the file: " + failure.what() + '\n', .errors = 1};
  }
}

ConfigResult parse_config(std::string text, const fs::path& file, const Settings& settings) {
  Diagnostics diagnostics;
  ConfigFiles files = read_files(std::move(text), file, diagnostics);
  Variables variables(settings, from_environment);
  ConfigResult result;
  result.system = read(files, variables, file, diagnostics);
  result.report = diagnostics.report(files.sources);
  result.errors = diagnostics.errors();
  result.warnings = diagnostics.warnings();
  if (!result.system) return result;
  result.system->settings = settings;
  for (const std::string& name : variables.unused()) {
    result.report.append("warning: --set ")
        .append(name)
        .append(": no string of the config has ${")
        .append(name)
        .append("}\n");
    ++result.warnings;
  }
  return result;
}

}  // namespace muproc::broker
