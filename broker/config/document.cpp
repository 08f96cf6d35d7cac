#include "broker/config/document.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <toml++/toml.h>

namespace muproc::broker {

namespace {

Position position(const toml::source_position& at) { return {std::max(at.line, 1u), std::max(at.column, 1u)}; }
Region region(const toml::source_region& at, std::uint32_t file) { return {file, position(at.begin), position(at.end)}; }

Node convert(const toml::node& node, std::uint32_t file);

Node::Array convert_array(const toml::array& array, std::uint32_t file) {
  Node::Array nodes;
  for (const toml::node& element : array) nodes.push_back(convert(element, file));
  return nodes;
}

Node::Table convert_table(const toml::table& table, std::uint32_t file) {
  Node::Table entries;
  for (const auto& [key, value] : table)
    entries.push_back({std::string(key.str()), region(key.source(), file), convert(value, file)});
  std::ranges::stable_sort(entries, {}, [](const Entry& entry) { return entry.key_at.begin; });
  return entries;
}

Node convert(const toml::node& node, std::uint32_t file) {
  Node out{.at = region(node.source(), file)};
  if (const auto* table = node.as_table()) out.value = convert_table(*table, file);
  if (const auto* array = node.as_array()) out.value = convert_array(*array, file);
  if (const auto* text = node.as_string()) out.value = text->get();
  if (const auto* boolean = node.as_boolean()) out.value = boolean->get();
  if (const auto* real = node.as_floating_point()) out.value = real->get();
  if (const auto* integer = node.as_integer()) {
    out.value = integer->get();
    out.is_octal = (integer->flags() & toml::value_flags::format_as_octal) != toml::value_flags::none;
  }
  if (node.is_date() || node.is_time() || node.is_date_time()) out.value = Node::Date{};
  return out;
}

bool is_header(std::string_view line) {
  const auto first = line.find_first_not_of(" \t");
  return first != line.npos && line[first] == '[';
}

// Takes out what cannot be read: a whole section if its header is to blame, else the line.
void cut(SourceText& source, std::uint32_t line) {
  const bool whole_section = is_header(source.line(line));
  do source.blank(line++);
  while (whole_section && line <= source.line_count() && !is_header(source.line(line)));
}

void note_hidden(Hidden& hidden, std::string_view line) {
  const auto equals = line.find('=');
  const bool is_other_key = equals != line.npos && line.substr(0, equals).find("children") == line.npos;
  hidden.keys = true;
  if (is_header(line)) hidden.nodes = true;
  if (!is_other_key) hidden.children = true;
}

bool is_duplicate(std::string_view message) { return message.find("cannot redefine") != message.npos; }

// toml++ begins most of its texts with words that add nothing to "error:".
std::string what(const toml::parse_error& error) {
  constexpr std::string_view k_preamble = "Error while parsing ";
  std::string_view text = error.description();
  if (text.starts_with(k_preamble)) text.remove_prefix(k_preamble.size());
  return std::string(text);
}

// The line after this one that says anything.
std::uint32_t next_line(const SourceText& source, std::uint32_t line) {
  do ++line;
  while (line <= source.line_count() && source.line(line).find_first_not_of(" \t") == std::string_view::npos);
  return line;
}

}  // namespace

std::string_view Node::kind() const {
  constexpr std::string_view names[] = {"a table",  "a boolean", "an integer", "a float",
                                        "a string", "a date",    "an array"};
  static_assert(std::variant_size_v<decltype(value)> == std::size(names));
  return names[value.index()];
}

const Entry* Node::find(std::string_view key) const {
  const auto* table = as<Table>();
  if (!table) return nullptr;
  const auto it = std::ranges::find(*table, key, &Entry::key);
  return it == table->end() ? nullptr : &*it;
}

Document parse_document(SourceText source, std::uint32_t file, Diagnostics& diagnostics) {
  Document document;
  std::optional<std::uint32_t> suspect;  // the line where an error would only be the last one's echo
  for (;;) {
    try {
      document.root = convert(toml::parse(source.text()), file);
      return document;
    } catch (const toml::parse_error& error) {
      const Region at = region(error.source(), file);
      const bool is_echo = suspect && at.begin.line <= *suspect;
      if (!is_echo) diagnostics.error(at, what(error));
      document.is_readable = !is_echo && !source.line(at.begin.line).empty();
      if (!document.is_readable) return document;
      if (!is_duplicate(error.description())) note_hidden(document.hidden, source.line(at.begin.line));
      cut(source, at.begin.line);
      suspect = next_line(source, at.begin.line);
    }
  }
}

}  // namespace muproc::broker
