// Reading values out of a document: each function takes one field and gives its value, or reports what is wrong with it
// and gives nothing. So a reader of many fields goes on past each mistake, and reports all of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <muproc/bytes.hpp>
#include <muproc/value.hpp>

#include "broker/config/diagnostics.hpp"
#include "broker/config/document.hpp"
#include "broker/config/includes.hpp"
#include "broker/config/suggest.hpp"

namespace muproc::broker {

/// A value and what it is called in messages: `backoff.initial`.
struct Field {
  const Node& node;
  std::string key;
  Region key_at;
};

/// A word of the config, and what it stands for.
template <class T>
struct Word {
  std::string_view word;
  T value;
};

class Reader {
 public:
  Reader(Diagnostics& diagnostics, const ConfigFiles& files) : diagnostics_(diagnostics), files_(files) {}

  std::optional<bool> boolean(const Field& field);
  std::optional<std::int64_t> integer(const Field& field, std::int64_t least, std::int64_t most);
  std::optional<double> number(const Field& field, double least, double most);
  std::optional<std::string> text(const Field& field);
  std::optional<std::vector<std::string>> texts(const Field& field);
  std::optional<std::chrono::nanoseconds> duration(const Field& field);
  std::optional<Bytes> size(const Field& field);
  /// Any value that a message can hold.
  std::optional<Value> value(const Field& field);
  /// Adds the table's fields to `target`, replacing those of the same name.
  void mumsg(const Field& field, Mumsg& target);
  template <class T>
  std::optional<T> word(const Field& field, std::span<const Word<T>> words);

  /// A path that is not a bare name, made absolute; a bare name as it is. `field` is where it stands.
  [[nodiscard]] std::string path_or_name(const Field& field, const std::string& path) const;
  [[nodiscard]] std::string path(const Field& field, const std::string& path) const;
  /// "line 7", or "base.toml:7" when that is in another file than `from`.
  [[nodiscard]] std::string place(const Region& of, const Region& from) const;

  void error(const Region& at, std::string message) { diagnostics_.error(at, std::move(message)); }
  void warning(const Region& at, std::string message) { diagnostics_.warning(at, std::move(message)); }
  /// `"key" must be …, not a string`, unless the field is a table where one is wanted.
  const Node::Table* table(const Field& field);
  void wrong_type(const Field& field, std::string_view wanted);
  void not_supported(const Field& field);

 private:
  Diagnostics& diagnostics_;
  const ConfigFiles& files_;
};

template <class T>
std::optional<T> Reader::word(const Field& field, std::span<const Word<T>> words) {
  std::vector<std::string_view> names;
  for (const Word<T>& word : words) names.push_back(word.word);
  const auto* text = field.node.as<std::string>();
  if (!text) return wrong_type(field, quoted_list(names)), std::nullopt;
  for (const Word<T>& word : words)
    if (word.word == *text) return word.value;
  error(field.node.at, in_quotes(field.key) + " is " + in_quotes(*text) + ", which is none of " + quoted_list(names) +
                           did_you_mean(*text, names));
  return std::nullopt;
}

/// A key of a table that fills a Target. Without a reader it is known, but not supported by this version.
template <class Target>
struct Key {
  std::string_view name;
  void (*read)(Reader&, const Field&, Target&) = nullptr;
  bool may_be_default = true;
};

/// Where the keys of a table were set, for messages about them later.
using KeyPlaces = std::map<std::string, Region, std::less<>>;

/// How messages speak of a node's table: `[muproc.x]`, `[muproc."x.1"]`.
std::string header(std::string_view kind, std::string_view name);

/// Reads a table by its keys. `title` names the table in messages: its header, or the key of an inner table, which is
/// then also the `prefix` of its own keys ("backoff.").
template <class Target>
void read_table(Reader& reader, const Node::Table& table, std::span<const Key<Target>> keys, Target& target,
                std::string_view title, const std::string& prefix = {}, KeyPlaces* places = nullptr) {
  for (const Entry& entry : table) {
    std::vector<std::string_view> names;
    const Key<Target>* known = nullptr;
    for (const Key<Target>& key : keys) {
      names.push_back(key.name);
      if (key.name == entry.key) known = &key;
    }
    const Field field{entry.node, prefix + entry.key, entry.key_at};
    if (!known)
      reader.error(entry.key_at, "unknown key " + in_quotes(entry.key) + " in " + std::string(title) +
                                     did_you_mean(entry.key, names));
    else if (!known->read)
      reader.not_supported(field);
    else
      known->read(reader, field, target);
    if (known && places) (*places)[entry.key] = entry.key_at;
  }
}

}  // namespace muproc::broker
