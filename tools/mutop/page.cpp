#include "tools/mutop/page.hpp"

#include <algorithm>

namespace muproc::mutop {

void ListCursor::fit(int count, int height) {
  count_ = count;
  height_ = std::max(height, 1);
  row_ = std::clamp(row_, 0, std::max(count - 1, 0));
  top_ = std::clamp(top_, row_ - height_ + 1, row_);
  top_ = std::clamp(top_, 0, std::max(count - height_, 0));
}

bool ListCursor::handle(const Key& key) {
  switch (key.kind) {
    case Key::Kind::up: --row_; break;
    case Key::Kind::down: ++row_; break;
    case Key::Kind::page_up:
      row_ -= height_;
      top_ -= height_;
      break;
    case Key::Kind::page_down:
      row_ += height_;
      top_ += height_;
      break;
    case Key::Kind::home: row_ = 0; break;
    case Key::Kind::end: row_ = count_ - 1; break;
    case Key::Kind::wheel_up: row_ -= 3; break;
    case Key::Kind::wheel_down: row_ += 3; break;
    default: return false;
  }
  fit(count_, height_);
  return true;
}

int ListCursor::at(int screen_row, int first) const {
  const int row = top_ + screen_row - first;
  return screen_row >= first && screen_row < first + height_ && row < count_ ? row : -1;
}

}  // namespace muproc::mutop
