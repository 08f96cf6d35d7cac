// What opens above a page: a text, a menu, a question.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tools/mutop/page.hpp"

namespace muproc::mutop {

struct TextLine {
  std::string text;
  Ink ink = Ink::plain;
};
using TextLines = std::vector<TextLine>;

/// Lines to be read, on the whole screen.
class TextPage : public Page {
 public:
  TextPage(std::string title, TextLines lines) : title_(std::move(title)), lines_(std::move(lines)) {}
  void draw(Grid& grid, Area area, Shell& shell) override;
  bool handle(const Key& key, Shell& shell) override;
  FunctionKeys function_keys() const override { return {{10, "Back"}}; }

 protected:
  void set_lines(TextLines lines) { lines_ = std::move(lines); }

 private:
  std::string title_;
  TextLines lines_;
  int top_ = 0, shift_ = 0, height_ = 1;
};

/// One of several, or none.
class Menu : public Page {
 public:
  struct Choice {
    std::string text;
    std::function<void()> chosen;
    bool is_current = false;
    std::function<std::string()> mark = {};  // shown before it, anew each time; such a menu stays open
  };
  Menu(std::string title, std::vector<Choice> choices);
  void draw(Grid& grid, Area area, Shell& shell) override;
  bool handle(const Key& key, Shell& shell) override;
  FunctionKeys function_keys() const override { return {{10, "Back"}}; }
  bool is_box() const override { return true; }

 private:
  std::string title_;
  std::vector<Choice> choices_;
  ListCursor cursor_;
  int first_row_ = 0;
};

/// "Do it?", with the targets' names. Only y does it, and only to those who are still the ones that were meant.
class Question : public Page {
 public:
  explicit Question(std::vector<Action> actions) : actions_(std::move(actions)) {}
  void draw(Grid& grid, Area area, Shell& shell) override;
  bool handle(const Key& key, Shell& shell) override;
  FunctionKeys function_keys() const override { return {}; }
  bool is_box() const override { return true; }

 private:
  std::vector<Action> actions_;
};

/// A box in the middle of the area; returns the column and row of its first cell inside, which are behind its frame.
std::pair<int, int> draw_box(Grid& grid, Area area, int rows, int columns, std::string_view title);

}  // namespace muproc::mutop
