#include "support/tmux.hpp"

#include <muproc/testing.hpp>

#include <unistd.h>

#include "support/files.hpp"

namespace muproc::test {

namespace {

Process start_tmux(const std::filesystem::path& socket, std::vector<std::string> words) {
  std::vector<std::string> argv = {"tmux", "-u", "-S", socket.native(), "-f", "/dev/null"};
  argv.insert(argv.end(), words.begin(), words.end());
  return Process::program(std::move(argv), {{"LC_ALL", "C.UTF-8"}, {"TERM", "xterm-256color"}});
}

std::filesystem::path new_socket() {
  static int number = 0;
  return runtime_dir() / ("tmux-" + std::to_string(::getpid()) + '-' + std::to_string(++number));
}

}  // namespace

std::string Tmux::tmux(std::vector<std::string> words, int* code) const {
  const std::string verb = words.front();
  words.insert(words.begin(), "-N");  // the server is there, or it is over
  Process process = start_tmux(socket_, std::move(words));
  const int result = process.wait();
  if (code) *code = result;
  if (!code && result != 0) throw Failed("tmux " + verb + ": " + process.output());
  return process.output();
}

// In the foreground, the server is the test's own child.
Tmux::Tmux(int columns, int rows, const std::string& command)
    : socket_(new_socket()), server_(start_tmux(socket_, {"-D"})) {
  wait_until("a tmux server", [&] {
    int code = 0;
    tmux({"new-session", "-d", "-x", std::to_string(columns), "-y", std::to_string(rows), command}, &code);
    return code == 0;
  });
}

Tmux::~Tmux() {
  try {
    int code = 0;
    tmux({"kill-server"}, &code);
    server_.wait();
  } catch (const std::exception&) {
    // It is killed.
  }
}

void Tmux::press(const std::vector<std::string>& keys) const {
  std::vector<std::string> words = {"send-keys"};
  words.insert(words.end(), keys.begin(), keys.end());
  tmux(std::move(words));
}

void Tmux::click(int row, int column) const {
  const std::string place = {static_cast<char>(33 + column), static_cast<char>(33 + row)};
  tmux({"send-keys", "-l", "\x1b[M " + place + "\x1b[M#" + place});  // as TERM=screen has it: pressed, released
}

std::string Tmux::screen(bool has_colours) const {
  int code = 0;
  auto words = std::vector<std::string>{"capture-pane", "-p"};
  if (has_colours) words.push_back("-e");
  return tmux(std::move(words), &code);
}

void Tmux::resize(int columns, int rows) const {
  tmux({"resize-window", "-x", std::to_string(columns), "-y", std::to_string(rows)});
}

std::string Tmux::wait_for(std::string_view text) const {
  return wait_with("\"" + std::string(text) + "\" on the screen",
                   [text](const std::string& screen) { return screen.find(text) != screen.npos; });
}

void Tmux::wait_until_gone(std::string_view text) const {
  wait_with("\"" + std::string(text) + "\" to leave the screen",
            [text](const std::string& screen) { return screen.find(text) == screen.npos; });
}

std::string Tmux::wait_with(const std::string& what, const std::function<bool(const std::string&)>& is_good) const {
  std::string last;
  try {
    wait_until(what, [&] { return is_good(last = screen()); });
  } catch (const Failed& failure) {
    throw Failed(failure.what() + std::string("; it is\n") + last);
  }
  return last;
}

bool Tmux::is_over() const {
  int code = 0;
  tmux({"has-session"}, &code);
  return code != 0;
}

void Tmux::wait_for_end() const {
  wait_until("the program in the terminal to end", [this] { return is_over(); });
}

}  // namespace muproc::test
