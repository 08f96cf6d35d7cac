// Several files that make one config: the launched one, and those that `include` names.
//
// What an included file says stands as if it stood in the including one, but paths in it are relative to its own folder,
// and what is wrong with it is reported at its own lines. Each file is read once, however often it is included. No two
// files may say the same thing: which one counts should not depend on their order.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "broker/config/diagnostics.hpp"
#include "broker/config/document.hpp"
#include "broker/config/source_text.hpp"

namespace muproc::broker {

struct ConfigFiles {
  std::vector<SourceText> sources;                  // Region::file counts these
  std::vector<std::filesystem::path> directories;  // what paths in each are relative to
  Document document;                               // of all together
};

/// Reads `text`, which is what `file` says, and all that it includes. What is wrong is in `diagnostics`.
ConfigFiles read_files(std::string text, const std::filesystem::path& file, Diagnostics& diagnostics);

/// A file's text; throws std::runtime_error with the reason when it cannot be read.
std::string text_of(const std::filesystem::path& file);

}  // namespace muproc::broker
