// Messages as their receiver decodes them: bytes that are refused, or a mumsg that is read within its bounds, the same in
// the quick way and in the long one, and is written again as what it was read as.
#include <capnp/any.h>
#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <muproc/message.hpp>

#include "wire/bounds.hpp"
#include "wire/codec.hpp"
#include "wire/field_words.hpp"

using namespace muproc;

namespace {

/// What has been read can be sent on. Its text.
std::string sent_on(const Mumsg& mumsg) {
  std::string text = to_string(mumsg);
  capnp::MallocMessageBuilder message;
  auto builder = message.initRoot<wire::Mumsg>();
  wire::write(builder, mumsg);
  if (to_string(wire::read(builder.asReader())) != text) std::abort();
  return text;
}

/// As a clause of a receive does.
std::string text_of(const MumsgView& mumsg) {
  for (const char* name : {"cmd", "x", "answer", "reason"})
    if (const auto field = mumsg.find(name)) {
      (void)field->value();
      (void)field->structure_type();
      (void)field->equals("square");
    }
  return sent_on(mumsg.value());
}

void read_checked(const std::vector<capnp::word>& words) {
  const auto root = capnp::readMessageUnchecked<capnp::AnyStruct>(words.data());
  const std::string text = text_of(MumsgView(root));
  const auto plain = wire::FieldWords::inside(words.data(), words.size());
  if (plain.first && text_of(MumsgView(root, plain)) != text) std::abort();
}

void read_while_checking(const std::vector<capnp::word>& words) {
  const kj::ArrayPtr<const capnp::word> segments[] = {kj::arrayPtr(words.data(), words.size())};
  capnp::SegmentArrayMessageReader reader(kj::arrayPtr(segments, 1), {8 * words.size() + 65536, 256});
  sent_on(wire::read(reader.getRoot<wire::Mumsg>()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::size_t count = size / sizeof(capnp::word);
  if (count == 0) return 0;
  std::vector<capnp::word> words(count);
  std::memcpy(static_cast<void*>(words.data()), data, count * sizeof(capnp::word));
  try {
    switch (wire::check_bounds(words.data(), count)) {
      case wire::Bounds::malformed:
        if (wire::FieldWords::inside(words.data(), count).first) std::abort();
        break;
      case wire::Bounds::inside: read_checked(words); break;
      case wire::Bounds::far: read_while_checking(words); break;
    }
  } catch (const kj::Exception&) {
    // A list where a struct should be: a clause does not match, or its handler is unwound.
  }
  return 0;
}
