// The nodes of a config as they were read, each by itself: what is known of them before their references are checked.
//
// A draft begins as a copy of [defaults.…], and its own table is read over it. It remembers where its keys stand, for
// the messages that only the whole tree can give rise to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/config/reader.hpp"
#include "broker/spec.hpp"

namespace muproc::broker {

/// A name in a list of children, or of others that a node speaks of.
struct ChildName {
  std::string name;
  Region at;
};

struct SupervisorDraft {
  SupervisorSpec spec;  // without its children
  std::vector<ChildName> children;
  Region at;         // of its name in its header
  KeyPlaces places;  // of the keys that its own table sets
};

struct MuprocDraft {
  ChildSpec spec;  // without its code
  std::optional<std::string> module;
  std::optional<std::string> entry;
  std::optional<std::vector<std::string>> exec;
  bool is_plain = false;
  std::uint32_t replicas = 1;
  std::optional<std::vector<ChildName>> may_send;
  Region at;
  KeyPlaces places;
};

struct SystemDraft {
  SystemSpec spec;  // without its nodes
  Region name_at;   // where its name is set, or the file's beginning
  Region metrics_at;
  std::vector<SupervisorDraft> supervisors;
  std::vector<MuprocDraft> muprocs;
  Hidden hidden;
};

/// Reads every table of the document, as far as each can be judged by itself.
SystemDraft read_system(Reader& reader, const Document& document, std::string default_name);

/// Every key of the config and whether this version supports it, table by table, for the documentation's test.
struct KnownKey {
  std::string_view table;
  std::string_view name;
  bool is_supported;
};
std::vector<KnownKey> known_keys();

/// Where a key was set, or else where the node begins.
template <class Draft>
const Region& place_of(const Draft& draft, std::string_view key) {
  const auto it = draft.places.find(key);
  return it == draft.places.end() ? draft.at : it->second;
}

}  // namespace muproc::broker
