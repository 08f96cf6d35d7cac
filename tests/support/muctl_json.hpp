// What muctl prints as JSON, and how it fails.
#pragma once

#include <capnp/compat/json.h>
#include <capnp/message.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/muctl.hpp"

namespace muproc::test {

/// It ends with that code, says why on standard error, and prints nothing.
inline void check_fails(std::vector<std::string> words, int code, const std::string& why) {
  const Outcome outcome = muctl(std::move(words));
  CHECK(outcome.code == code);
  CHECK_THAT(outcome.err, Catch::Matchers::StartsWith("muctl: ") && Catch::Matchers::Contains(why));
  CHECK(outcome.out.empty());
}

/// A value in a JSON text; null where there is none.
class Json {
 public:
  explicit Json(const std::string& text) : message_(std::make_shared<capnp::MallocMessageBuilder>()) {
    auto root = message_->initRoot<capnp::JsonValue>();
    capnp::JsonCodec().decodeRaw(kj::arrayPtr(text.data(), text.size()), root);
    value_ = root.asReader();
  }
  Json operator[](const std::string& name) const {
    if (value_.isObject())
      for (const auto field : value_.getObject())
        if (std::string(field.getName().cStr()) == name) return {message_, field.getValue()};
    return {message_, {}};
  }
  Json operator[](unsigned index) const {
    REQUIRE(value_.isArray());
    REQUIRE(index < value_.getArray().size());
    return {message_, value_.getArray()[index]};
  }
  /// Of an array of objects, the one with this name.
  Json named(const std::string& name) const {
    for (unsigned i = 0; i < size(); ++i)
      if ((*this)[i]["name"].text() == name) return (*this)[i];
    FAIL("nobody is named " << name);
    return *this;
  }
  std::size_t size() const { return value_.isArray() ? value_.getArray().size() : 0; }
  bool is_null() const { return value_.isNull(); }
  std::string text() const { return value_.isString() ? value_.getString().cStr() : "no text"; }
  double number() const { return value_.isNumber() ? value_.getNumber() : -1; }

 private:
  Json(std::shared_ptr<capnp::MallocMessageBuilder> message, capnp::JsonValue::Reader value)
      : message_(std::move(message)), value_(value) {}
  std::shared_ptr<capnp::MallocMessageBuilder> message_;
  capnp::JsonValue::Reader value_;
};

/// What it prints with --json, when it must succeed.
inline Json json_of(std::vector<std::string> words) {
  words.insert(words.begin(), "--json");
  return Json(said(std::move(words)));
}

}  // namespace muproc::test
