#include "tools/mutop/trace_page.hpp"

#include <algorithm>

#include "tools/common/text.hpp"

namespace muproc::mutop {

void open_trace(const std::string& name, Shell& shell) {
  if (const std::string failure = shell.world().trace(name); !failure.empty()) return shell.say(failure, Ink::bad);
  shell.open(std::make_unique<TracePage>(name));
}

void TracePage::draw(Grid& grid, Area area, Shell& shell) {
  const auto& lines = shell.world().traced();
  const int count = static_cast<int>(lines.size());
  height_ = std::max(area.rows - 1, 1);
  from_end_ = std::clamp(from_end_, 0, std::max(count - height_, 0));
  grid.fill(area.top, 0, grid.columns(), Ink::heading);
  grid.put(area.top, 1, "Messages of " + tools::printable(name_) + (from_end_ > 0 ? "  (End: go on)" : ""),
           Ink::heading);
  grid.put_right(area.top, 0, shell.world().trace_sums() + ' ', Ink::heading, grid.columns());
  const int first = std::max(count - from_end_ - height_, 0);
  for (int row = 0; row < height_ && first + row < count - from_end_; ++row) {
    const std::string& line = lines[static_cast<std::size_t>(first + row)];
    std::size_t at = 0;
    for (int i = 0; i < shift_ && at < line.size(); ++i) do
        ++at;
      while (at < line.size() && (static_cast<unsigned char>(line[at]) & 0xc0) == 0x80);
    grid.put(area.top + 1 + row, 1, std::string_view(line).substr(at));
  }
  if (lines.empty()) grid.put(area.top + 1, 1, "nothing has passed so far", Ink::faint);
}

bool TracePage::handle(const Key& key, Shell& shell) {
  switch (key.kind) {
    case Key::Kind::up: ++from_end_; return true;
    case Key::Kind::down: --from_end_; return true;
    case Key::Kind::wheel_up: from_end_ += 3; return true;
    case Key::Kind::wheel_down: from_end_ -= 3; return true;
    case Key::Kind::page_up: from_end_ += height_; return true;
    case Key::Kind::page_down: from_end_ -= height_; return true;
    case Key::Kind::home: from_end_ = static_cast<int>(shell.world().traced().size()); return true;
    case Key::Kind::end: from_end_ = 0; return true;
    case Key::Kind::left: shift_ = std::max(shift_ - 8, 0); return true;
    case Key::Kind::right: shift_ += 8; return true;
    default: break;
  }
  if (!key.is(Key::Kind::escape) && !key.is('q') && !key.is_function(10)) return false;
  shell.world().trace({});
  shell.close();
  return true;
}

}  // namespace muproc::mutop
