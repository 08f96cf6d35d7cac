// The supervision config: a TOML file that says what a system is. docs/config.md describes it for its writers.
//
// Reading goes through rooms of their own, each in its own file under config/: the *document* (TOML, with the place of
// every key and value), put together from the *includes*, with its *variables* put in, the *drafts* (each table read by its table of keys), the *tree* (references between nodes), and the
// *diagnostics*, which every room adds to and which are reported together, in the order of the file. Whoever mends a
// config should need one look at it, not one for each mistake.
//
// Pure but for the files that are read (the config's own and those it includes) and the environment, which its variables
// may stand for. Nothing is checked that only the start could tell, such as whether a
// module exists: that may change until then.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

#include "broker/spec.hpp"

namespace muproc::broker {

struct [[nodiscard]] ConfigResult {
  /// There unless there were errors.
  std::optional<SystemSpec> system;
  /// Errors and warnings by position, each `file:line:column: error: …`, the source line and a caret line.
  std::string report;
  std::size_t errors = 0;
  std::size_t warnings = 0;
};

/// Reads a config; `settings` are what its variables stand for, before the environment. A file that cannot be read is an error in the report like any other.
ConfigResult load_config(const std::filesystem::path& file, const Settings& settings = {});

/// Reads a config from text. `file` is what messages call it; relative paths in it are relative to its folder, and the
/// system is named after it if the text gives no name.
ConfigResult parse_config(std::string text, const std::filesystem::path& file, const Settings& settings = {});

}  // namespace muproc::broker
