// A page: something that is drawn into a part of the screen and takes keys.
//
// A tab is one, and whatever opens above it: a muproc's details, help, a menu, a question. Pages know the model, which they
// never change but for its tags, and the shell around them, through which they open others and say things.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/mutop/grid.hpp"
#include "tools/mutop/keys.hpp"
#include "tools/mutop/model.hpp"
#include "tools/mutop/world.hpp"

namespace muproc::mutop {

class Page;

struct Settings {
  bool ascii = false;
  bool allow_actions = false;
};

/// What a page may do beside itself.
class Shell {
 public:
  virtual ~Shell() = default;
  virtual Model& model() = 0;
  virtual World& world() = 0;
  virtual const Settings& settings() const = 0;
  virtual void open(std::unique_ptr<Page> page) = 0;
  /// The uppermost page goes, when its key has been handled.
  virtual void close() = 0;
  /// On the line above the function keys, until the next key.
  virtual void say(std::string text, Ink ink = Ink::warning) = 0;
};

/// Rows of the grid: from `top` on, so many.
struct Area {
  int top = 0, rows = 0;
};

/// "F1Help", …: what the last row offers, by number.
using FunctionKeys = std::vector<std::pair<int, std::string_view>>;

class Page {
 public:
  virtual ~Page() = default;
  /// The model has changed.
  virtual void refresh(Shell&) {}
  virtual void draw(Grid& grid, Area area, Shell& shell) = 0;
  /// False: it has no use for that key.
  virtual bool handle(const Key& key, Shell& shell) = 0;
  virtual FunctionKeys function_keys() const = 0;
  /// Instead of the function keys, while something is typed.
  virtual std::string input_line() const { return {}; }
  /// True: drawn over what is below it, in a box; false: instead of it.
  virtual bool is_box() const { return false; }
};

/// A place in a list, and the part of the list that is on the screen.
class ListCursor {
 public:
  int row() const { return row_; }
  int top() const { return top_; }
  void to(int row) { row_ = row; }
  /// The list has so many rows, and so many fit.
  void fit(int count, int height);
  /// It has so many rows now.
  void resize(int count) { fit(count, height_); }
  /// Arrows, pages, ends, and the wheel. False for any other key.
  bool handle(const Key& key);
  /// The list's row at that row of the screen, if the list began at `first`; -1: none.
  int at(int screen_row, int first) const;

 private:
  int row_ = 0, top_ = 0, count_ = 0, height_ = 1;
};

}  // namespace muproc::mutop
