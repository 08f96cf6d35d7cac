// From bytes to lines. Pure.
//
// What comes out, put together again with a newline after each piece that is `whole`, is what went in, byte for byte.
#pragma once

#include <string>
#include <string_view>

#include "wire/log_line.hpp"

namespace muproc::broker {

enum class LineEnd {
  whole,    // a newline followed
  goes_on,  // it is longer than k_longest_line: the next piece belongs to it
  missing,  // nothing more came
};

class LineSplitter {
 public:
  /// Calls `emit(std::string_view piece, LineEnd)` for each that is complete.
  template <class Emit>
  void add(std::string_view bytes, Emit&& emit) {
    while (!bytes.empty()) {
      const auto newline = bytes.find('\n');
      const std::size_t room = wire::k_longest_line - partial_.size();
      if (newline != bytes.npos && newline <= room) {
        take(bytes.substr(0, newline), LineEnd::whole, emit);
        bytes.remove_prefix(newline + 1);
      } else if (bytes.size() <= room) {
        partial_ += bytes;
        return;
      } else {
        take(bytes.substr(0, room), LineEnd::goes_on, emit);
        bytes.remove_prefix(room);
      }
    }
  }
  /// What is left, when nothing more comes.
  template <class Emit>
  void finish(Emit&& emit) {
    if (!partial_.empty()) take({}, LineEnd::missing, emit);
  }

 private:
  template <class Emit>
  void take(std::string_view end, LineEnd how, Emit& emit) {
    if (partial_.empty()) return emit(end, how);
    partial_ += end;
    emit(std::string_view(partial_), how);
    partial_.clear();
  }

  std::string partial_;
};

}  // namespace muproc::broker
