// Completion in shells, made from what a program's commands are: so that no word of it is written twice.
//
// A program describes itself as a Command (wire/cli_command.hpp makes one of a CLI11 app); out of that comes a script for
// bash, zsh or fish. Names of muprocs and systems are asked for when the user presses the key, of `muctl complete-names`
// and `muctl complete-systems`. They may hold any bytes, so the scripts never hand them to anything that evaluates them.
//
// Pure: a description in, a text out.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muproc::wire {

/// What a value can be.
struct Values {
  enum class Kind { any, names, systems, files, words } kind = Kind::any;
  std::vector<std::string> words;  // of that kind
};

/// An option, or a word at a place.
struct CommandWord {
  std::vector<std::string> names;  // "-s", "--system"; of a place: "NAME"
  std::string help;
  bool takes_value = false;        // of an option
  bool is_many = false;            // of a place: all words from here on
  Values values;
};

struct Command {
  std::string name;
  std::string help;
  std::vector<CommandWord> options;  // of a program: they may stand behind the command, too
  std::vector<CommandWord> places;
  std::vector<Command> commands;     // of a program
};

enum class Shell { bash, zsh, fish };

/// "bash", "zsh" or "fish".
std::optional<Shell> shell_named(std::string_view name);
/// The script that this shell wants, for a program with commands.
std::string completion(const Command& program, Shell shell);

}  // namespace muproc::wire
