// What somebody has pressed or clicked, without a terminal.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace muproc::mutop {

struct Key {
  enum class Kind {
    character,
    up,
    down,
    left,
    right,
    page_up,
    page_down,
    home,
    end,
    enter,
    escape,
    backspace,
    tab,
    back_tab,
    function,
    click,
    double_click,
    wheel_up,
    wheel_down
  };
  Kind kind = Kind::character;
  std::string text;         // of a character: UTF-8
  int function = 0;         // 1 to 12
  int row = 0, column = 0;  // of a click

  static Key character(std::string text) { return {Kind::character, std::move(text)}; }
  static Key f(int number) { return {Kind::function, {}, number}; }
  static Key click(int row, int column) { return {Kind::click, {}, 0, row, column}; }
  bool is(Kind which) const { return kind == which; }
  bool is(char c) const { return kind == Kind::character && text.size() == 1 && text[0] == c; }
  bool is_function(int number) const { return kind == Kind::function && function == number; }
};

}  // namespace muproc::mutop
