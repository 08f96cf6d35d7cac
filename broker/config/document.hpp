// A TOML document as the config reads it: values with their places, tables in the order of the file.
//
// Only document.cpp knows toml++, which is heavy to compile and sorts tables by key. A syntax error does not hide the
// ones after it, as far as that can be done honestly: what could not be understood is left out, and reading goes on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "broker/config/diagnostics.hpp"
#include "broker/config/source_text.hpp"

namespace muproc::broker {

struct Entry;

struct Node {
  struct Date {};
  using Array = std::vector<Node>;
  using Table = std::vector<Entry>;

  Region at;
  // A table first, which is what a node begins as: said with an initializer, it would ask for Entry here.
  std::variant<Table, bool, std::int64_t, double, std::string, Date, Array> value;
  bool is_octal = false;     // an integer written as 0o…
  bool is_expanded = false;  // a string that a variable was put into

  template <class T>
  [[nodiscard]] const T* as() const {
    return std::get_if<T>(&value);
  }
  /// "a string", "an integer", …, for messages.
  [[nodiscard]] std::string_view kind() const;
  /// The entry of a table with this key, or null.
  [[nodiscard]] const Entry* find(std::string_view key) const;
};

struct Entry {
  std::string key;
  Region key_at;
  Node node;
};

// What syntax errors may have hidden, so that it only seems to be missing.
struct Hidden {
  bool nodes = false;     // a whole section was left out
  bool children = false;  // a list of children, or part of one
  bool keys = false;      // any key
};

struct Document {
  Node root;
  Hidden hidden;
  bool is_readable = true;  // false: nothing can be said but the syntax errors
};

/// Reports syntax errors, duplicate tables and duplicate keys. `file` is the number that regions have.
Document parse_document(SourceText source, std::uint32_t file, Diagnostics& diagnostics);

}  // namespace muproc::broker
