#include "broker/config.hpp"

#include <cerrno>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "broker/config/diagnostics.hpp"
#include "broker/config/document.hpp"
#include "broker/config/drafts.hpp"
#include "broker/config/reader.hpp"
#include "broker/config/tree.hpp"

namespace muproc::broker {

namespace {

std::optional<SystemSpec> read(const SourceText& source, const std::filesystem::path& file, Diagnostics& diagnostics) {
  const Document document = parse_document(source, diagnostics);
  if (!document.is_readable) return std::nullopt;
  const auto directory = std::filesystem::absolute(file).lexically_normal().parent_path();
  Reader reader(diagnostics, directory);
  const SystemDraft drafts = read_system(reader, document, file.stem().string());
  SystemSpec system = build_tree(reader, drafts);
  if (diagnostics.errors() > 0) return std::nullopt;
  warn_of_the_pointless(reader, drafts, system);
  system.config_dir = directory;
  return system;
}

ConfigResult unreadable(const std::filesystem::path& file, const std::string& why) {
  return {.system = {}, .report = file.string() + ": error: cannot read the file: " + why + '\n', .errors = 1};
}

}  // namespace

ConfigResult load_config(const std::filesystem::path& file) {
  if (std::filesystem::is_directory(file)) return unreadable(file, "it is a directory");
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return unreadable(file, std::generic_category().message(errno));
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  return parse_config(std::move(text), file);
}

ConfigResult parse_config(std::string text, const std::filesystem::path& file) {
  const SourceText source(file.string(), std::move(text));
  Diagnostics diagnostics;
  ConfigResult result;
  result.system = read(source, file, diagnostics);
  result.report = diagnostics.report(source);
  result.errors = diagnostics.errors();
  result.warnings = diagnostics.warnings();
  return result;
}

}  // namespace muproc::broker
