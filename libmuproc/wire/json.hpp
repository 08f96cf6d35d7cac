// Writes JSON, piece by piece:
//
//     JsonWriter json;
//     json.begin_object().field("name", "ch-1").field("restarts", 2);
//     json.key("ports").begin_array().value("book").end_array();
//     json.end_object();
//
// What comes out is always valid: text that is no UTF-8 is mended, a float that JSON cannot say becomes text. (Cap'n
// Proto's JsonCodec has no integers beyond 2^53 and passes any bytes through as text, so it is none for us.)
// Whoever calls it keeps to the order of JSON; what is open when the text is taken is a std::logic_error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace muproc::wire {

class JsonWriter {
 public:
  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }

  /// Before each value of an object.
  JsonWriter& key(std::string_view name);

  JsonWriter& value(std::nullptr_t) { return raw("null"); }
  JsonWriter& value(bool value) { return raw(value ? "true" : "false"); }
  JsonWriter& value(double value);
  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
  JsonWriter& value(T value) { return raw(std::to_string(value)); }
  template <class T>
  JsonWriter& value(const std::optional<T>& maybe) {
    return maybe ? value(*maybe) : value(nullptr);
  }

  template <class T>
  JsonWriter& field(std::string_view name, const T& value_of_it) {
    return key(name).value(value_of_it);
  }

  /// The whole text, indented, without a newline at its end.
  std::string take();

 private:
  struct Level {
    char bracket;
    bool is_empty = true;
  };

  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  JsonWriter& raw(std::string_view text);
  void begin_value();
  void new_line();

  std::string out_;
  std::vector<Level> levels_;
  bool after_key_ = false;
};

}  // namespace muproc::wire
