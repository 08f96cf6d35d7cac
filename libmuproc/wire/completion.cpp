#include "wire/completion.hpp"

#include <algorithm>

namespace muproc::wire {
namespace {

bool is_option(const std::string& word) { return word.starts_with('-'); }
bool is_long(const std::string& word) { return word.starts_with("--"); }

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + with.size())) text.replace(at, what.size(), with);
  return text;
}

/// Between single quotes, for sh and zsh.
std::string quoted(const std::string& text) { return '\'' + replaced(text, "'", R"('\'')") + '\''; }

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  std::string text;
  for (const auto& word : words) (text += text.empty() ? "" : between) += word;
  return text;
}

/// The beginning of a help text, which is enough in a list.
std::string brief(const std::string& help) { return help.substr(0, help.find_first_of(";\n")); }

// ---- bash ------------------------------------------------------------------------------------------------------------

class Bash {
 public:
  explicit Bash(const Command& program) : program_(program), function_('_' + program.name) {}

  std::string script() {
    out_ = "# Completion of " + program_.name + " in bash, made by \"" + program_.name + " completion bash\".\n\n";
    helpers();
    out_ += function_ + "() {\n"
            "  local cur=${COMP_WORDS[COMP_CWORD]} verb= want= system= places=0 i word\n"
            "  COMPREPLY=()\n"
            "  [[ $cur == = ]] && cur=\n"
            "  for ((i = 1; i < COMP_CWORD; ++i)); do\n"
            "    word=${COMP_WORDS[i]}\n"
            "    case $verb:$word in\n";
    out_ += "      " + values_of_system() + ")\n"
            "        [[ ${COMP_WORDS[i + 1]} == = ]] && ((++i))\n"
            "        ((++i < COMP_CWORD)) && system=${COMP_WORDS[i]} || want=$verb:$word ;;\n";
    if (const std::string others = patterns_with_values(); !others.empty())
      out_ += "      " + others + ")\n"
              "        [[ ${COMP_WORDS[i + 1]} == = ]] && ((++i))\n"
              "        ((++i < COMP_CWORD)) || want=$verb:$word ;;\n";
    out_ += "      *:-* | *:=) ;;\n"
            "      :*) verb=$word ;;\n"
            "      *) ((++places)) ;;\n"
            "    esac\n"
            "  done\n"
            "  case $want in\n";
    each_option([&](const std::string& verb, const CommandWord& option) {
      if (option.takes_value) out_ += "    " + patterns(verb, option) + ") " + call(option.values) + "; return ;;\n";
    });
    out_ += "  esac\n"
            "  if [[ $cur == -* ]]; then\n"
            "    case $verb in\n";
    for (const Command& command : program_.commands) out_ += "      " + command.name + ") " + words(option_names(command)) + " ;;\n";
    out_ += "      *) " + words(names_of(program_.options)) + " ;;\n"
            "    esac\n"
            "    return\n"
            "  fi\n"
            "  case $verb:$places in\n"
            "    :*) " + words(verbs()) + " ;;\n";
    for (const Command& command : program_.commands) places(command);
    out_ += "  esac\n"
            "}\n"
            "complete -F " + function_ + ' ' + program_.name + '\n';
    return out_;
  }

 private:
  void helpers() {
    out_ += function_ + "_words() {  # those of the words that begin as the one that is typed\n"
            "  local word\n"
            "  for word in \"$@\"; do\n"
            "    [[ $word == \"$cur\"* ]] && COMPREPLY+=(\"$word\")\n"
            "  done\n"
            "}\n" +
            function_ + "_asked() {  # lines that muctl gives; nothing in them is evaluated\n"
            "  local line\n"
            "  while IFS= read -r line; do\n"
            "    [[ $line == \"$cur\"* ]] && COMPREPLY+=(\"$(printf %q \"$line\")\")\n"
            "  done < <(muctl ${system:+-s \"$system\"} \"$1\" 2>/dev/null)\n"
            "}\n" +
            function_ + "_files() {\n"
            "  compopt -o filenames 2>/dev/null\n"
            "  local line\n"
            "  while IFS= read -r line; do\n"
            "    COMPREPLY+=(\"$line\")\n"
            "  done < <(compgen -f -- \"$cur\")\n"
            "}\n\n";
  }

  template <class Do>
  void each_option(Do&& what) const {
    for (const CommandWord& option : program_.options) what("*", option);
    for (const Command& command : program_.commands)
      for (const CommandWord& option : command.options) what(command.name, option);
  }
  static std::string patterns(const std::string& verb, const CommandWord& option) {
    std::string text;
    for (const auto& name : option.names) text += (text.empty() ? "" : " | ") + verb + ':' + name;
    return text;
  }
  std::string values_of_system() const {
    std::string text;
    each_option([&](const std::string& verb, const CommandWord& option) {
      if (option.values.kind == Values::Kind::systems) text += (text.empty() ? "" : " | ") + patterns(verb, option);
    });
    return text.empty() ? "'no system'" : text;
  }
  std::string patterns_with_values() const {
    std::string text;
    each_option([&](const std::string& verb, const CommandWord& option) {
      if (option.takes_value && option.values.kind != Values::Kind::systems) text += (text.empty() ? "" : " | ") + patterns(verb, option);
    });
    return text;
  }
  static std::vector<std::string> names_of(const std::vector<CommandWord>& options) {
    std::vector<std::string> names;
    for (const auto& option : options) names.insert(names.end(), option.names.begin(), option.names.end());
    return names;
  }
  std::vector<std::string> option_names(const Command& command) const {
    auto names = names_of(command.options);
    for (const auto& name : names_of(program_.options))
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    return names;
  }
  std::vector<std::string> verbs() const {
    std::vector<std::string> names;
    for (const auto& command : program_.commands) names.push_back(command.name);
    return names;
  }
  std::string words(const std::vector<std::string>& list) const { return list.empty() ? ":" : function_ + "_words " + joined(list, " "); }
  std::string call(const Values& values) const {
    switch (values.kind) {
      case Values::Kind::any: return ":";
      case Values::Kind::names: return function_ + "_asked complete-names";
      case Values::Kind::systems: return function_ + "_asked complete-systems";
      case Values::Kind::files: return function_ + "_files";
      case Values::Kind::words: return words(values.words);
    }
    return ":";
  }
  void places(const Command& command) {
    for (std::size_t i = 0; i < command.places.size(); ++i) {
      const CommandWord& place = command.places[i];
      if (place.values.kind == Values::Kind::any) continue;
      out_ += "    " + command.name + ':' + (place.is_many ? "*" : std::to_string(i)) + ") " + call(place.values) + " ;;\n";
    }
  }

  const Command& program_;
  std::string function_;
  std::string out_;
};

// ---- zsh -------------------------------------------------------------------------------------------------------------

class Zsh {
 public:
  explicit Zsh(const Command& program) : program_(program), function_('_' + program.name) {}

  std::string script() {
    out_ = "#compdef " + program_.name + "\n# Completion of " + program_.name + " in zsh, made by \"" + program_.name + " completion zsh\".\n\n";
    helper("names");
    helper("systems");
    out_ += function_ + "() {\n"
            "  local context state state_descr line\n"
            "  typeset -A opt_args\n"
            "  _arguments -C \\\n";
    for (const auto& option : program_.options) argument(option);
    out_ += "    '1: :->verb' \\\n"
            "    '*:: :->rest'\n"
            "  case $state in\n"
            "    verb)\n"
            "      local -a verbs\n"
            "      verbs=(\n";
    for (const auto& command : program_.commands) out_ += "        " + quoted(escaped(command.name) + ':' + brief(command.help)) + '\n';
    out_ += "      )\n"
            "      _describe -t verbs verb verbs ;;\n"
            "    rest)\n"
            "      case $line[1] in\n";
    for (const auto& command : program_.commands) {
      out_ += "        " + command.name + ")\n          _arguments \\\n";
      for (const auto& option : program_.options) argument(option);
      for (const auto& option : command.options) argument(option);
      for (std::size_t i = 0; i < command.places.size(); ++i) place(command.places[i], i);
      out_ += "            ;;\n";
    }
    out_ += "      esac ;;\n"
            "  esac\n"
            "}\n\n" +
            function_ + " \"$@\"\n";
    return out_;
  }

 private:
  void helper(const std::string& what) {
    out_ += function_ + '_' + what + "() {\n"
            "  local -a given\n"
            "  local system=${opt_args[--system]:-${opt_args[-s]}}\n"
            "  given=(\"${(@f)$(muctl ${system:+-s} ${system:+\"$system\"} complete-" + what + " 2>/dev/null)}\")\n"
            "  compadd -a given\n"
            "}\n";
  }
  /// Where a colon or a bracket would end it.
  static std::string escaped(std::string text) {
    for (const char* special : {"\\", ":", "[", "]"}) text = replaced(std::move(text), special, std::string("\\") + special);
    return text;
  }
  std::string action(const Values& values) const {
    switch (values.kind) {
      case Values::Kind::any: return " ";
      case Values::Kind::names: return function_ + "_names";
      case Values::Kind::systems: return function_ + "_systems";
      case Values::Kind::files: return "_files";
      case Values::Kind::words: return '(' + joined(values.words, " ") + ')';
    }
    return " ";
  }
  void argument(const CommandWord& option) {
    const std::string exclusive = '(' + joined(option.names, " ") + ')';
    for (const auto& name : option.names) {
      std::string text = exclusive + name;
      if (option.takes_value && is_long(name)) text += '=';
      text += '[' + escaped(brief(option.help)) + ']';
      if (option.takes_value) text += ":value:" + action(option.values);
      out_ += "    " + quoted(text) + " \\\n";
    }
  }
  void place(const CommandWord& place, std::size_t index) {
    const std::string where = place.is_many ? "*" : std::to_string(index + 1);
    out_ += "    " + quoted(where + ':' + escaped(place.names.front()) + ':' + action(place.values)) + " \\\n";
  }

  const Command& program_;
  std::string function_;
  std::string out_;
};

// ---- fish ------------------------------------------------------------------------------------------------------------

class Fish {
 public:
  explicit Fish(const Command& program) : program_(program) {}

  std::string script() {
    out_ = "# Completion of " + program_.name + " in fish, made by \"" + program_.name + " completion fish\".\n\n";
    out_ += "complete -c " + program_.name + " -f\n";
    for (const auto& option : program_.options) line({}, option);
    for (const auto& command : program_.commands)
      out_ += "complete -c " + program_.name + " -n __fish_use_subcommand -a " + command.name + " -d " + in_fish(brief(command.help)) + '\n';
    for (const auto& command : program_.commands) {
      for (const auto& option : command.options) line(command.name, option);
      for (const auto& place : command.places) line(command.name, place);
    }
    return out_;
  }

 private:
  static std::string in_fish(std::string text) {
    return '\'' + replaced(replaced(std::move(text), "\\", "\\\\"), "'", "\\'") + '\'';
  }
  static std::string arguments(const Values& values) {
    switch (values.kind) {
      case Values::Kind::any: return {};
      case Values::Kind::names: return " -a '(muctl complete-names 2>/dev/null)'";
      case Values::Kind::systems: return " -a '(muctl complete-systems 2>/dev/null)'";
      case Values::Kind::files: return " -F";
      case Values::Kind::words: return " -a '" + joined(values.words, " ") + '\'';
    }
    return {};
  }
  void line(const std::string& verb, const CommandWord& word) {
    const bool option = is_option(word.names.front());
    const std::string values = arguments(word.values);
    if (!option && values.empty()) return;
    out_ += "complete -c " + program_.name;
    if (!verb.empty()) out_ += " -n '__fish_seen_subcommand_from " + verb + '\'';
    if (option) {
      for (const auto& name : word.names) out_ += is_long(name) ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (word.takes_value) out_ += word.values.kind == Values::Kind::files ? " -r" : " -x";
    }
    out_ += values + " -d " + in_fish(brief(word.help)) + '\n';
  }

  const Command& program_;
  std::string out_;
};

}  // namespace

std::optional<Shell> shell_named(std::string_view name) {
  if (name == "bash") return Shell::bash;
  if (name == "zsh") return Shell::zsh;
  if (name == "fish") return Shell::fish;
  return std::nullopt;
}

std::string completion(const Command& program, Shell shell) {
  switch (shell) {
    case Shell::bash: return Bash(program).script();
    case Shell::zsh: return Zsh(program).script();
    case Shell::fish: return Fish(program).script();
  }
  return {};
}

}  // namespace muproc::wire
