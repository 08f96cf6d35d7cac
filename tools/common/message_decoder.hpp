// What a message says, for people and for programs: mumsgs and servers' calls as everybody can read them, Cap'n Proto
// structs by the schemas that were given.
//
// What is decoded comes from others and was copied: everything in it is checked by Cap'n Proto's readers, with limits, and
// what is malformed is said to be.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "shm/layout.hpp"

namespace muproc::tools {

/// Structs by their type ids, out of `.capnp` files.
class Schemas {
 public:
  Schemas();
  ~Schemas();
  /// Imports are looked for beside the file and in /usr/include and /usr/local/include. Throws Failure (usage) with what
  /// Cap'n Proto's parser says when the file cannot be used.
  void add(const std::filesystem::path& file);

 private:
  friend class MessageDecoder;
  struct Parsed;
  std::unique_ptr<Parsed> parsed_;
};

/// A message's segments, private copies of whole words; none: they could not be had, as of a large message that was
/// given back meanwhile.
using MessageSegments = std::vector<std::vector<std::uint64_t>>;

struct DecodedMessage {
  std::string_view kind;  // "message", "call", "cast", "reply", "error"
  std::string type;       // of a struct: its name, or "0x…" when no schema knows it; else empty
  std::string text;       // `cmd=:square x=3`, `square(3)`, `(bid = 1, ask = 2)`: one line, printable
  std::string json;       // an object on one line; null when it cannot be read
  bool is_malformed = false;
};

class MessageDecoder {
 public:
  /// `schemas` may be null, and outlives this.
  explicit MessageDecoder(const Schemas* schemas = nullptr) : schemas_(schemas) {}
  DecodedMessage decode(const shm::RecordHeader& header, const MessageSegments& segments) const;

 private:
  void read(DecodedMessage& to, std::uint64_t type_id, const MessageSegments& segments) const;
  const Schemas* schemas_;
};

}  // namespace muproc::tools
