// A program in a terminal, as a person has it: in a tmux of its own, with keys sent and the screen read.
#pragma once

#include <muproc/testing.hpp>

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace muproc::test {

class Tmux {
 public:
  /// `command` is for the shell. The server and its socket are this object's own, and die with the test.
  Tmux(int columns, int rows, const std::string& command);
  /// Ends the server and all that runs in it.
  ~Tmux();
  Tmux(const Tmux&) = delete;
  Tmux& operator=(const Tmux&) = delete;

  /// By tmux's names: "Enter", "F3", "Escape", or a text as it is typed.
  void press(const std::vector<std::string>& keys) const;
  /// What the terminal gets for a click there; rows and columns from 0, up to 93.
  void click(int row, int column) const;
  /// The screen's lines, each with its newline; with its colours as escape sequences if asked for.
  std::string screen(bool has_colours = false) const;
  void resize(int columns, int rows) const;
  /// Waits until the screen contains the text, and returns the screen. Throws Failed with the screen as it was.
  std::string wait_for(std::string_view text) const;
  void wait_until_gone(std::string_view text) const;
  /// The program has ended.
  bool is_over() const;
  void wait_for_end() const;

 private:
  /// What tmux prints; nothing when it says that it cannot.
  std::string tmux(std::vector<std::string> words, int* code = nullptr) const;
  std::string wait_with(const std::string& what, const std::function<bool(const std::string&)>& is_good) const;
  std::filesystem::path socket_;
  Process server_;
};

}  // namespace muproc::test
