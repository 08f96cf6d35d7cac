#include "tools/common/message_decoder.hpp"

#include <capnp/compat/json.h>
#include <capnp/dynamic.h>
#include <capnp/message.h>
#include <capnp/schema-parser.h>
#include <fmt/format.h>
#include <kj/filesystem.h>

#include <cstdlib>
#include <map>

#include "tools/common/failure.hpp"
#include "tools/common/json.hpp"
#include "tools/common/key_value.hpp"
#include "tools/common/text.hpp"
#include "tools/common/to_json.hpp"
#include "wire/codec.hpp"
#include "wire/drop_words.hpp"
#include "wire/server.capnp.h"

namespace muproc::tools {

namespace {

/// KJ warns on standard error when $PWD is not where we are, as under sudo or a test driver. Paths here are absolute.
kj::Own<kj::Filesystem> quiet_disk() {
  ::unsetenv("PWD");
  return kj::newDiskFilesystem();
}

}  // namespace

struct Schemas::Parsed {
  kj::Own<kj::Filesystem> disk = quiet_disk();
  std::vector<kj::Own<const kj::ReadableDirectory>> folders;
  std::vector<const kj::ReadableDirectory*> imports;
  capnp::SchemaParser parser;
  std::map<std::uint64_t, capnp::StructSchema> structs;

  void collect(const capnp::ParsedSchema& schema) {
    if (schema.getProto().isStruct()) structs.emplace(schema.getProto().getId(), schema.asStruct());
    for (const auto nested : schema.getAllNested()) collect(nested);
  }
};

Schemas::Schemas() : parsed_(std::make_unique<Parsed>()) {
  for (const char* folder : {"usr/local/include", "usr/include"})
    KJ_IF_MAYBE(found, parsed_->disk->getRoot().tryOpenSubdir(kj::Path::parse(folder))) {
      parsed_->imports.push_back(found->get());
      parsed_->folders.push_back(kj::mv(*found));
    }
}

Schemas::~Schemas() = default;

void Schemas::add(const std::filesystem::path& file) try {
  const std::filesystem::path path = std::filesystem::absolute(file).lexically_normal();
  const auto whole = kj::Path::parse(path.relative_path().c_str());
  // Files beside it, and below, may be imported; a whole disk need not be open to it.
  auto folder = parsed_->disk->getRoot().openSubdir(whole.parent());
  const auto schema = parsed_->parser.parseFromDirectory(*folder, kj::Path(kj::str(whole.basename()[0])),
                                                         kj::arrayPtr(parsed_->imports.data(), parsed_->imports.size()));
  parsed_->folders.push_back(kj::mv(folder));
  parsed_->collect(schema);
} catch (const kj::Exception& failure) {
  throw Failure(ExitCode::usage, fmt::format("the schema {} cannot be used: {}", printable(file.native()), printable(failure.getDescription().cStr())));
}

namespace {

std::string json_of(const Mumsg& mumsg) {
  JsonWriter json;
  write_value(json, mumsg);
  return on_one_line(json.take());
}

/// Null when it has what JSON has not, as capabilities. A Text may hold any bytes, so these are mended.
std::string json_of(capnp::DynamicStruct::Reader root) try {
  capnp::JsonCodec codec;
  codec.setPrettyPrint(false);
  return valid_utf8(codec.encode(root).cStr());
} catch (const kj::Exception&) {
  return "null";
}

void show_request(DecodedMessage& to, wire::Request::Reader request) {
  std::string arguments;
  JsonWriter json;
  json.begin_object().field("name", wire::view(request.getName())).key("arguments").begin_array();
  for (const auto field : request.getFields()) {
    const Value argument = wire::read(field);
    (arguments += arguments.empty() ? "" : ", ") += format(argument);
    write_value(json, argument);
  }
  json.end_array().end_object();
  to.text = printable(wire::view(request.getName())) + '(' + arguments + ')';
  to.json = on_one_line(json.take());
}

/// The first of them, in hex.
void show_bytes(DecodedMessage& to, capnp::Data::Reader bytes) {
  constexpr std::size_t k_shown = 64;
  std::string hex;
  for (const kj::byte byte : bytes.slice(0, std::min<std::size_t>(bytes.size(), k_shown))) hex += fmt::format("{:02x}", byte);
  const char* more = bytes.size() > k_shown ? "…" : "";
  to.text = fmt::format("{} bytes <<{}{}>>", bytes.size(), hex, more);
  to.json = fmt::format("{{\"bytes\": {}, \"data\": \"{}\"}}", bytes.size(), hex);
}

}  // namespace

void MessageDecoder::read(DecodedMessage& to, std::uint64_t type_id, const MessageSegments& segments) const {
  std::vector<kj::ArrayPtr<const capnp::word>> parts;
  std::uint64_t words = 0;
  for (const auto& segment : segments) {
    parts.emplace_back(reinterpret_cast<const capnp::word*>(segment.data()), segment.size());
    words += segment.size();
  }
  capnp::SegmentArrayMessageReader message(kj::arrayPtr(parts.data(), parts.size()), {8 * words + 65536, 64});
  if (type_id == capnp::typeId<wire::Mumsg>()) {
    const Mumsg mumsg = wire::read(message.getRoot<wire::Mumsg>());
    to.text = format(mumsg);
    to.json = json_of(mumsg);
  } else if (type_id == capnp::typeId<wire::Request>()) {
    show_request(to, message.getRoot<wire::Request>());
  } else if (type_id == capnp::typeId<wire::ByteMessage>()) {
    show_bytes(to, message.getRoot<wire::ByteMessage>().getBytes());
  } else if (type_id == capnp::typeId<wire::Reason>()) {
    const std::string reason = to_string(wire::read(message.getRoot<wire::Reason>()));
    to.text = printable(reason);
    wire::append_json_text(to.json, reason);
  } else {
    to.type = fmt::format("{:#018x}", type_id);
    const auto found = schemas_ ? schemas_->parsed_->structs.find(type_id) : std::map<std::uint64_t, capnp::StructSchema>::iterator();
    if (!schemas_ || found == schemas_->parsed_->structs.end()) {
      to.text = fmt::format("{} bytes", words * 8);
      to.json = fmt::format("{{\"bytes\": {}}}", words * 8);
      return;
    }
    to.type = printable(found->second.getShortDisplayName().cStr());
    const auto root = message.getRoot<capnp::DynamicStruct>(found->second);
    to.text = printable(kj::str(root).cStr());
    to.json = json_of(root);
  }
}

DecodedMessage MessageDecoder::decode(const shm::RecordHeader& header, const MessageSegments& segments) const {
  DecodedMessage decoded;
  decoded.kind = wire::record_word(header.kind);
  decoded.json = "null";
  if (segments.empty()) {
    decoded.text = "(a large message that was given back before it could be read)";
    return decoded;
  }
  try {
    decoded.json.clear();
    read(decoded, header.type_id, segments);
  } catch (const std::exception& failure) {
    decoded.is_malformed = true;
    decoded.text = "(malformed: " + printable(failure.what()) + ')';
  } catch (const kj::Exception& failure) {
    decoded.is_malformed = true;
    decoded.text = "(malformed: " + printable(failure.getDescription().cStr()) + ')';
  }
  if (decoded.is_malformed || decoded.json.empty()) decoded.json = "null";
  return decoded;
}

}  // namespace muproc::tools
