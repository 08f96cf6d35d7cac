// The rim: a grid onto a real terminal, and its keys and clicks, by way of ncurses. Nothing else in mutop knows ncurses.
#pragma once

#include <optional>

#include "tools/mutop/grid.hpp"
#include "tools/mutop/keys.hpp"

namespace muproc::mutop {

class Terminal {
 public:
  /// Takes the terminal over until its destructor gives it back. Throws tools::Failure when it is none that can do that.
  explicit Terminal(bool has_colours);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  int rows() const;
  int columns() const;
  /// What has changed since the last grid is written.
  void show(const Grid& grid);
  /// The next key that has come, without waiting for one. A change of the size is taken in on the way.
  std::optional<Key> key();
  /// Writes the whole screen anew with the next `show`.
  void repaint();

 private:
  bool has_colours_ = false;
};

}  // namespace muproc::mutop
