#include "broker/config/includes.hpp"

#include <glob.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>

#include "broker/config/suggest.hpp"

namespace muproc::broker {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t k_most_files = 1000;
constexpr std::size_t k_longest_file = std::size_t{16} << 20;

fs::path directory_of(const fs::path& file) { return fs::absolute(file).lexically_normal().parent_path(); }

/// The same for all names of one file.
fs::path identity(const fs::path& file) {
  std::error_code error;
  const fs::path real = fs::weakly_canonical(file, error);
  return error ? fs::absolute(file).lexically_normal() : real;
}

bool is_pattern(const std::string& text) { return text.find_first_of("*?[") != text.npos; }

/// In the order of their names.
std::vector<fs::path> matches(const fs::path& pattern) {
  glob_t found{};
  std::vector<fs::path> files;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  return files;
}

class Collector {
 public:
  Collector(ConfigFiles& files, Diagnostics& diagnostics) : files_(files), diagnostics_(diagnostics) {}

  void add(std::string text, const fs::path& file) {
    const auto number = static_cast<std::uint32_t>(files_.sources.size());
    files_.sources.emplace_back(file.string(), std::move(text));
    files_.directories.push_back(directory_of(file));
    Document document = parse_document(files_.sources.back(), number, diagnostics_);
    Document& whole = files_.document;
    whole.hidden.nodes |= document.hidden.nodes;
    whole.hidden.children |= document.hidden.children;
    whole.hidden.keys |= document.hidden.keys;
    whole.is_readable &= document.is_readable;
    const Entry* include = document.root.find("include");
    const Node included = include ? include->node : Node{};
    if (include) std::erase_if(std::get<Node::Table>(document.root.value), [](const Entry& entry) { return entry.key == "include"; });
    merge_root(std::get<Node::Table>(document.root.value));
    chain_.push_back(identity(file));
    seen_.push_back(chain_.back());
    if (include) follow(included, file);
    chain_.pop_back();
  }

 private:
  void follow(const Node& included, const fs::path& from) {
    if (const auto* one = included.as<std::string>()) return follow(*one, included.at, from);
    const auto* array = included.as<Node::Array>();
    if (!array)
      return diagnostics_.error(included.at, "\"include\" must be an array of file names, not " + std::string(included.kind()));
    for (const Node& element : *array) {
      if (const auto* name = element.as<std::string>())
        follow(*name, element.at, from);
      else
        diagnostics_.error(element.at, "\"include\" must be an array of file names; this is " + std::string(element.kind()));
    }
  }

  void follow(const std::string& name, const Region& at, const fs::path& from) {
    // As it would be typed from where the including file was named, so that messages read alike.
    const fs::path path = from.parent_path() / name;
    if (name.empty()) return diagnostics_.error(at, "\"include\" names no file");
    if (!is_pattern(name)) return read(path, at);
    for (const fs::path& match : matches(path)) {
      // A pattern that fits the file it stands in does not mean it.
      if (identity(match) != chain_.back()) read(match, at);
    }
  }

  void read(const fs::path& file, const Region& at) {
    const fs::path who = identity(file);
    if (const auto begin = std::ranges::find(chain_, who); begin != chain_.end()) {
      std::string path;
      for (auto link = begin; link != chain_.end(); ++link) path += link->filename().string() + " → ";
      return diagnostics_.error(at, in_quotes(file.string()) + " includes itself: " + path + who.filename().string());
    }
    if (std::ranges::find(seen_, who) != seen_.end()) return;
    if (files_.sources.size() >= k_most_files) return diagnostics_.error(at, "more than 1000 files are included");
    try {
      add(text_of(file), file);
    } catch (const std::runtime_error& failure) {
      diagnostics_.error(at, "cannot read " + in_quotes(file.string()) + ": " + failure.what());
    }
  }

  // Merging ------------------------------------------------------------------------------------------------------------

  void merge_root(Node::Table& from) {
    auto& into = std::get<Node::Table>(files_.document.root.value);
    for (Entry& entry : from) {
      const bool is_of_nodes = entry.key == "supervisor" || entry.key == "muproc";
      Entry* known = find(into, entry.key);
      auto* theirs = std::get_if<Node::Table>(&entry.node.value);
      auto* ours = known ? std::get_if<Node::Table>(&known->node.value) : nullptr;
      if (!known)
        into.push_back(std::move(entry));
      else if (ours && theirs && (is_of_nodes || entry.key == "system"))
        merge(*ours, *theirs, entry.key, is_of_nodes);
      else if (ours && theirs && entry.key == "defaults")
        merge_defaults(*ours, *theirs);
      else
        report_second(entry, *known, in_quotes(entry.key));
    }
  }

  void merge_defaults(Node::Table& into, Node::Table& from) {
    for (Entry& entry : from) {
      Entry* known = find(into, entry.key);
      auto* theirs = std::get_if<Node::Table>(&entry.node.value);
      auto* ours = known ? std::get_if<Node::Table>(&known->node.value) : nullptr;
      if (!known)
        into.push_back(std::move(entry));
      else if (ours && theirs)
        merge(*ours, *theirs, "defaults." + entry.key, false);
      else
        report_second(entry, *known, in_quotes(entry.key));
    }
  }

  void merge(Node::Table& into, Node::Table& from, const std::string& table, bool is_of_nodes) {
    for (Entry& entry : from) {
      if (const Entry* known = find(into, entry.key))
        report_second(entry, *known, is_of_nodes ? '[' + table + '.' + entry.key + ']' : in_quotes(entry.key) + " in [" + table + ']');
      else
        into.push_back(std::move(entry));
    }
  }

  static Entry* find(Node::Table& table, std::string_view key) {
    const auto found = std::ranges::find(table, key, &Entry::key);
    return found == table.end() ? nullptr : &*found;
  }

  void report_second(const Entry& second, const Entry& first, const std::string& what) {
    diagnostics_.error(second.key_at, what + " is said twice: also at " + files_.sources[first.key_at.file].name() + ':' +
                                          std::to_string(first.key_at.begin.line));
  }

  ConfigFiles& files_;
  Diagnostics& diagnostics_;
  std::vector<fs::path> chain_, seen_;
};

}  // namespace

std::string text_of(const fs::path& file) {
  if (fs::is_directory(file)) throw std::runtime_error("it is a directory");
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error(std::generic_category().message(errno));
  std::string text;
  char part[65536];
  while (stream.read(part, sizeof part) || stream.gcount() > 0) {
    text.append(part, static_cast<std::size_t>(stream.gcount()));
    if (text.size() > k_longest_file) throw std::runtime_error("it is longer than 16MiB");  // as /dev/zero is
  }
  return text;
}

ConfigFiles read_files(std::string text, const fs::path& file, Diagnostics& diagnostics) {
  ConfigFiles files;
  Collector(files, diagnostics).add(std::move(text), file);
  return files;
}

}  // namespace muproc::broker
