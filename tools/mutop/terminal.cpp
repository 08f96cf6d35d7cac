#include "tools/mutop/terminal.hpp"

#include <curses.h>
#include <unistd.h>

#include <array>
#include <clocale>
#include <cstdlib>

#include "tools/common/failure.hpp"

namespace muproc::mutop {
namespace {

struct Look {
  short foreground, background;  // -1: the terminal's own
  attr_t attributes;             // with colours
  attr_t without;                // without them
};

// By Ink.
constexpr std::array<Look, k_inks> k_looks = {{
    {-1, -1, A_NORMAL, A_NORMAL},                      // plain
    {-1, -1, A_DIM, A_DIM},                            // faint
    {-1, -1, A_BOLD, A_BOLD},                          // strong
    {COLOR_GREEN, -1, A_NORMAL, A_NORMAL},             // good
    {COLOR_CYAN, -1, A_NORMAL, A_NORMAL},              // busy
    {COLOR_YELLOW, -1, A_BOLD, A_BOLD},                // warning
    {COLOR_RED, -1, A_BOLD, A_BOLD | A_UNDERLINE},     // bad
    {COLOR_BLACK, COLOR_GREEN, A_NORMAL, A_REVERSE},   // heading
    {COLOR_BLACK, COLOR_CYAN, A_NORMAL, A_REVERSE},    // selected
    {COLOR_YELLOW, -1, A_BOLD, A_BOLD | A_UNDERLINE},  // tagged
    {-1, -1, A_BOLD, A_BOLD},                          // key
}};

constexpr int k_escape = 27, k_delete = 127, k_control_h = 8;

std::optional<Key> key_of_mouse() {
  MEVENT event;
  if (getmouse(&event) != OK) return std::nullopt;
  Key key;
  key.row = event.y;
  key.column = event.x;
  if (event.bstate & BUTTON4_PRESSED) {
    key.kind = Key::Kind::wheel_up;
  } else if (event.bstate & BUTTON5_PRESSED) {
    key.kind = Key::Kind::wheel_down;
  } else if (event.bstate & BUTTON1_DOUBLE_CLICKED) {
    key.kind = Key::Kind::double_click;
  } else if (event.bstate & (BUTTON1_CLICKED | BUTTON1_PRESSED)) {
    key.kind = Key::Kind::click;
  } else {
    return std::nullopt;
  }
  return key;
}

std::optional<Key> key_of_code(wint_t code) {
  using Kind = Key::Kind;
  switch (code) {
    case KEY_UP: return Key{Kind::up};
    case KEY_DOWN: return Key{Kind::down};
    case KEY_LEFT: return Key{Kind::left};
    case KEY_RIGHT: return Key{Kind::right};
    case KEY_PPAGE: return Key{Kind::page_up};
    case KEY_NPAGE: return Key{Kind::page_down};
    case KEY_HOME: return Key{Kind::home};
    case KEY_END: return Key{Kind::end};
    case KEY_ENTER: return Key{Kind::enter};
    case KEY_BACKSPACE: return Key{Kind::backspace};
    case KEY_BTAB: return Key{Kind::back_tab};
    case KEY_MOUSE: return key_of_mouse();
    default: break;
  }
  if (code >= KEY_F(1) && code <= KEY_F(12)) return Key::f(static_cast<int>(code - KEY_F(0)));
  return std::nullopt;
}

std::string utf8(wint_t code) {
  std::string text;
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | (code >> shift & 0x3f)); };
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xc0 | code >> 6), tail(0);
  } else if (code < 0x10000) {
    text += static_cast<char>(0xe0 | code >> 12), tail(6), tail(0);
  } else {
    text += static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0);
  }
  return text;
}

std::optional<Key> key_of_character(wint_t code) {
  switch (code) {
    case '\n':
    case '\r': return Key{Key::Kind::enter};
    case '\t': return Key{Key::Kind::tab};
    case k_escape: return Key{Key::Kind::escape};
    case k_delete:
    case k_control_h: return Key{Key::Kind::backspace};
    default: break;
  }
  if (code < 0x20) return std::nullopt;
  return Key::character(utf8(code));
}

}  // namespace

Terminal::Terminal(bool has_colours) {
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDOUT_FILENO) != 1)
    throw tools::Failure(tools::ExitCode::usage, "this is no terminal; \"mutop -b\" prints to a pipe or a file");
  if (!std::getenv("ESCDELAY")) set_escdelay(25);
  if (newterm(nullptr, stdout, stdin) == nullptr)
    throw tools::Failure(tools::ExitCode::usage, "the terminal cannot do it; is TERM right? \"mutop -b\" needs none");
  cbreak();
  noecho();
  nonl();
  keypad(stdscr, TRUE);
  nodelay(stdscr, TRUE);
  curs_set(0);
  mousemask(BUTTON1_CLICKED | BUTTON1_DOUBLE_CLICKED | BUTTON1_PRESSED | BUTTON4_PRESSED | BUTTON5_PRESSED, nullptr);
  mouseinterval(150);
  has_colours_ = has_colours && has_colors() && ::start_color() == OK && ::use_default_colors() == OK;
  if (!has_colours_) return;
  for (short ink = 0; ink < k_inks; ++ink)
    init_pair(static_cast<short>(ink + 1), k_looks[static_cast<std::size_t>(ink)].foreground,
              k_looks[static_cast<std::size_t>(ink)].background);
}

Terminal::~Terminal() { endwin(); }

int Terminal::rows() const { return getmaxy(stdscr); }
int Terminal::columns() const { return getmaxx(stdscr); }

void Terminal::show(const Grid& grid) {
  erase();
  for (int row = 0; row < grid.rows(); ++row) {
    // One call for each run of an ink: most of a row is of one.
    for (int column = 0; column < grid.columns();) {
      const Ink ink = grid.at(row, column).ink;
      std::string run;
      const int begin = column;
      for (; column < grid.columns() && grid.at(row, column).ink == ink; ++column)
        run += grid.at(row, column).character;
      const Look& look = k_looks[static_cast<std::size_t>(ink)];
      attr_set(has_colours_ ? look.attributes : look.without,
               static_cast<short>(has_colours_ ? static_cast<int>(ink) + 1 : 0), nullptr);
      // The last cell of the screen cannot be written without scrolling; ncurses says ERR and has written it.
      mvaddnstr(row, begin, run.c_str(), static_cast<int>(run.size()));
    }
  }
  refresh();
}

std::optional<Key> Terminal::key() {
  for (;;) {
    wint_t code = 0;
    switch (get_wch(&code)) {
      case ERR: return std::nullopt;
      case KEY_CODE_YES:
        if (code == KEY_RESIZE) return Key{Key::Kind::character};  // no key, but something to draw for
        if (auto key = key_of_code(code)) return key;
        break;
      default:
        if (code == 12) repaint();  // Ctrl-L
        if (auto key = key_of_character(code)) return key;
    }
  }
}

void Terminal::repaint() { clearok(stdscr, TRUE); }

}  // namespace muproc::mutop
