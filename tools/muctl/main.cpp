// muctl: asks a running system what it does, and tells it what to do.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>
#include <functional>
#include <iostream>
#include <map>

#include "tools/common/failure.hpp"
#include "tools/common/text.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/suggest.hpp"
#include "wire/version.hpp"

namespace {

using namespace muproc::tools;
using Verb = muproc::wire::ChildVerb::Verb;

constexpr const char* k_fields_help =
    R"(NAME=VALUE makes a field of the message:
  n=3 int    x=2.5 float    ok=true bool    n=nil    name=text    name="quoted text"
  cmd=:square    a symbol (it fits where a receiver asks for a symbol or text)
  l=[1, two]     a list       m={a=1, b=2}    a mumsg
  p=<0.3.1>      a pid        d=<<00ff>>      data in hex
  NAME:TYPE=VALUE says the type: s:text=3, n:int=0x2a, d:data=00ff, x:float=inf
Mind the shell: quote words with spaces, quotes, <, >, { or [.)";

constexpr const char* k_exit_help =
    R"(REASON is normal, shutdown, or any value: text, :symbol, 42, [1, 2], as in NAME=VALUE of muctl send.
One that traps exits gets it as a message. A supervisor stops its children in order and then ends.)";

class CommandLine {
 public:
  CommandLine() {
    app_.set_version_flag("--version", std::string("muctl ") + muproc::wire::k_library_version);
    app_.add_option(
        "-s,--system", context_.system,
        "The system's name or the path of its folder; may be left out when one runs, or with $MUPROC_SYSTEM");
    app_.add_flag("--json", context_.json, "Print JSON");
    app_.require_subcommand(1);
    app_.get_formatter()->label("SUBCOMMAND", "VERB");
    app_.get_formatter()->label("Subcommands", "Verbs");
    app_.fallthrough();
    app_.failure_message([](const CLI::App* app, const CLI::Error& error) { return complaint(*app, error); });
    add_questions();
    add_lives();
    add_messages();
  }

  ExitCode run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error) == 0 ? ExitCode::ok : ExitCode::usage;
    }
    std::cout << action_() << std::flush;
    return ExitCode::ok;
  }

 private:
  void add_questions() {
    verb("ps", "A table of all muprocs and supervisors", [this] { return ps(context_); });
    verb("tree", "The supervision tree", [this] { return tree(context_); });
    named("show", "All that is known of one", [this] { return show(context_, name_); });
  }

  void add_lives() {
    named("kill", "End a muproc at once, whatever it traps", [this] { return kill(context_, name_); });
    auto* exit_verb =
        named("exit", "Tell a muproc or supervisor to end", [this] { return exit(context_, name_, reason_); });
    exit_verb->add_option("REASON", reason_, "Why: normal, shutdown, or any value")->required();
    exit_verb->footer(k_exit_help);
    for (auto [word, text, which] :
         {std::tuple("start", "Start a supervised child that is stopped", Verb::START),
          std::tuple("stop", "Stop a supervised child, and leave it stopped", Verb::STOP),
          std::tuple("restart", "Stop a supervised child and start it again", Verb::RESTART)})
      add_timeout(named(word, text, [this, which = which] { return child_verb(context_, name_, which); }), "no limit");
    auto* shutdown = verb("shutdown", "End the system in order, and wait until it has ended",
                          [this] { return shut_down(context_, !no_wait_); });
    shutdown->add_flag("--no-wait", no_wait_, "Do not wait");
    add_timeout(shutdown, "no limit");
  }

  void add_messages() {
    auto* send_verb = named("send", "Send a message", [this] { return send(context_, name_, fields_); });
    auto* call_verb = named("call", "Send a message, wait for the first message back, and print it",
                            [this] { return call(context_, name_, fields_); });
    add_timeout(call_verb, "5s");
    for (auto* with_fields : {send_verb, call_verb}) {
      with_fields->add_option("NAME=VALUE", fields_, "The message's fields, see below");
      with_fields->footer(k_fields_help);
    }
  }

  CLI::App* verb(const std::string& word, const std::string& text, std::function<std::string()> action) {
    auto* command = app_.add_subcommand(word, text);
    command->callback([this, action = std::move(action)] { action_ = action; });
    return command;
  }

  /// A verb with a muproc's name.
  CLI::App* named(const std::string& word, const std::string& text, std::function<std::string()> action) {
    auto* command = verb(word, text, std::move(action));
    command->add_option("NAME", name_, "The name of a muproc, supervisor or port, or a pid such as '<0.3.1>'")
        ->required();
    return command;
  }

  void add_timeout(CLI::App* command, const std::string& otherwise) {
    const std::map<std::string, double> units = {{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}};
    const auto take = [this](double seconds) {
      context_.timeout = std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
    };
    const CLI::AsNumberWithUnit::Options how = CLI::AsNumberWithUnit::UNIT_REQUIRED;
    command->add_option_function<double>("--timeout", take, "How long to wait, as 5s or 250ms; otherwise " + otherwise)
        ->transform(CLI::AsNumberWithUnit(units, how, "DURATION"))
        ->check(CLI::Range(0.0, 3.15e9).description(""));
  }

  static std::string complaint(const CLI::App& app, const CLI::Error& error) {
    std::string text = error.what();
    const auto rest = app.remaining();
    if (app.get_subcommands().empty() && rest.empty()) text = "a verb is missing";
    if (app.get_subcommands().empty() && !rest.empty()) {
      std::vector<std::string> words;
      for (const auto* command : app.get_subcommands([](const CLI::App*) { return true; }))
        words.push_back(command->get_name());
      const std::vector<std::string_view> views(words.begin(), words.end());
      text = "there is no verb \"" + rest.front() + '"' + muproc::wire::did_you_mean(rest.front(), views);
    }
    return "muctl: " + printable(text) + "\nmuctl --help says what there is; muctl VERB --help says more.\n";
  }

  CLI::App app_{"Asks a running system what it does, and tells it what to do.", "muctl"};
  Context context_;
  std::string name_, reason_;
  std::vector<std::string> fields_;
  bool no_wait_ = false;
  std::function<std::string()> action_;
};

}  // namespace

int main(int argc, char** argv) {
  ExitCode code = ExitCode::request_failed;
  try {
    CommandLine command_line;
    return static_cast<int>(command_line.run(argc, argv));
  } catch (const Failure& failure) {
    code = failure.code;
    std::cerr << "muctl: " << failure.what() << '\n';
  } catch (const std::exception& failure) {
    std::cerr << "muctl: " << failure.what() << '\n';
  }
  return static_cast<int>(code);
}
