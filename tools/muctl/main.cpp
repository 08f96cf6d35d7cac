// muctl: asks a running system what it does, and tells it what to do.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>
#include <functional>
#include <iostream>
#include <map>

#include "tools/common/failure.hpp"
#include "tools/common/json.hpp"
#include "tools/common/text.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/cli_command.hpp"
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

constexpr const char* k_spawn_help =
    R"(Code is a module's entry, or a program with its arguments after --:
  muctl spawn book --under root --module ./libbook.so --entry book depth=10
  muctl spawn decoder --under root --restart transient -- ./decoder --fast
  muctl spawn --under connections socket=7      from the template of that supervisor
Fields are what the muproc reads as self.args(), written as for muctl send. Without --under it is nobody's child: it is
not restarted, and ends with the system.)";

constexpr const char* k_exit_help =
    R"(REASON is normal, shutdown, or any value: text, :symbol, 42, [1, 2], as in NAME=VALUE of muctl send.
One that traps exits gets it as a message. A supervisor stops its children in order and then ends.)";

constexpr const char* k_drain_help =
    R"(To who sends it is as if it had ended; what is sent to it all the same is a dead letter. Answers to what it has asked
others still reach it. When it has received all that was sent before, it is stopped, and its supervisor leaves it stopped.
After the time-out it is stopped whatever still waits, and muctl ends with code 5. A plain program is stopped.)";

constexpr const char* k_trace_help =
    R"(Reads the rings, without taking a message or slowing anybody. What passed faster than it could be read is counted as
missed, and what was more than --rate allows as not shown. Structs are shown by --schema, else by their size.)";

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
    add_debugger();
    add_completion();
  }

  ExitCode run(int argc, char** argv) {
    try {
      app_.parse(split_off_program(argc, argv), argv);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error) == 0 ? ExitCode::ok : ExitCode::usage;
    }
    std::cout << action_() << std::flush;
    return code_;
  }

 private:
  /// What stands after `spawn … --` is a program, whatever it looks like. How many words stand before.
  int split_off_program(int argc, char** argv) {
    bool spawns = false;
    for (int i = 1; i < argc; ++i) {
      const std::string_view word = argv[i];
      spawns = spawns || word == "spawn";
      if (!spawns || word != "--") continue;
      spawn_.program.assign(argv + i + 1, argv + argc);
      return i;
    }
    return argc;
  }

  void add_questions() {
    verb("ps", "A table of all muprocs and supervisors", [this] { return ps(context_); });
    verb("tree", "The supervision tree", [this] { return tree(context_); });
    named("show", "All that is known of one", [this] { return show(context_, name_); });
    verb("events", "The latest births, deaths and decisions", [this] { return events(context_, follow_); })
        ->add_flag("-f,--follow", follow_, "Go on with what comes");
    verb("dead-letters", "What was sent to the dead, or dropped: counted, and the last of it", [this] { return dead_letters(context_, last_); })
        ->add_option("-n,--last", last_, "So many of the last")->capture_default_str();
    verb("crash", "The latest crash report of a muproc; without NAME: a list of all reports", [this] { return crash(context_, name_); })
        ->add_option("NAME", name_, "The name of a muproc");
    add_trace();
    auto* doctor_verb = verb("doctor", "What is wrong with the system, or unwise", [this] {
      Verdict verdict = doctor(context_, watch_);
      code_ = verdict.is_healthy ? ExitCode::ok : ExitCode::request_failed;
      return std::move(verdict.text);
    });
    add_duration(doctor_verb, "--for", "How long to watch it, as 5s; otherwise 2s", [this](std::chrono::nanoseconds span) { watch_ = span; });
    doctor_verb->footer("Ends with 0 when nothing was found, else with 1.");
    auto* log_verb = verb("log", "What a muproc has printed and logged; without NAME: the broker's own log",
                          [this] { return log(context_, name_, count_, follow_); });
    log_verb->add_option("NAME", name_, "The name of a muproc");
    log_verb->add_option("-n,--lines", count_, "So many of the last lines")->capture_default_str();
    log_verb->add_flag("-f,--follow", follow_, "Go on with what comes, over rotation and restarts");
  }

  void add_trace() {
    auto* trace_verb = named("trace", "Messages as they pass, from and to a muproc", [this] {
      trace_.name = name_;
      return trace(context_, trace_);
    });
    trace_verb->add_option("--to", trace_.to, "Only what it sends to this one");
    trace_verb->add_option("--schema", trace_.schemas, "A .capnp file with the types of messages; may be given more than once")->type_size(1)->expected(1)->take_all();
    trace_verb->add_option("--rate", trace_.rate, "Show at most so many a second; 0: all")->check(CLI::Range(0.0, 1e9).description(""))->capture_default_str();
    trace_verb->add_option("-n,--count", trace_.count, "End after so many were shown");
    add_duration(trace_verb, "--for", "How long, as 5s; otherwise until it is interrupted", [this](std::chrono::nanoseconds span) { trace_.span = span; });
    trace_verb->footer(k_trace_help);
  }

  void add_lives() {
    auto* spawn_verb = verb("spawn", "Start a new muproc", [this] { return spawn(context_, spawn_); });
    spawn_verb->add_option("NAME [NAME=VALUE...]", spawn_.words, "Its name, then its arguments; see below");
    spawn_verb->add_option("--under", spawn_.under, "The supervisor whose child it is to be");
    spawn_verb->add_option("--module", spawn_.module, "The shared object with its code");
    spawn_verb->add_option("--entry", spawn_.entry, "The name that MUPROC_ENTRY gave its code");
    spawn_verb->add_flag("--plain", spawn_.plain, "The program knows nothing of muproc");
    spawn_verb->add_option("--restart", spawn_.restart, "permanent (the default), transient or temporary");
    spawn_verb->add_option("--stop", spawn_.stop, "How it is stopped: kill, forever, or a duration; otherwise 5s");
    spawn_verb->footer(k_spawn_help);
    add_timeout(spawn_verb, "no limit");
    named("kill", "End a muproc at once, whatever it traps", [this] { return kill(context_, name_); });
    auto* exit_verb =
        named("exit", "Tell a muproc or supervisor to end", [this] { return exit(context_, name_, reason_); });
    exit_verb->add_option("REASON", reason_, "Why: normal, shutdown, or any value")->required();
    exit_verb->footer(k_exit_help);
    for (auto [word, text, which] :
         {std::tuple("start", "Start a supervised child that is stopped", Verb::START),
          std::tuple("stop", "Stop a supervised child, and leave it stopped", Verb::STOP),
          std::tuple("restart", "Stop a supervised child and start it again", Verb::RESTART),
          std::tuple("delete", "Let a supervisor forget a child that is stopped", Verb::DELETE)})
      add_timeout(named(word, text, [this, which = which] { return child_verb(context_, name_, which); }), "no limit");
    auto* drain_verb = named("drain", "Take no new messages, finish what waits, then stop", [this] { return drain(context_, name_); });
    drain_verb->footer(k_drain_help);
    add_timeout(drain_verb, "no limit");
    auto* shutdown = verb("shutdown", "End the system in order, and wait until it has ended",
                          [this] { return shut_down(context_, !no_wait_); });
    shutdown->add_flag("--no-wait", no_wait_, "Do not wait");
    add_timeout(shutdown, "no limit");
    auto* diff = verb("diff", "What a reload of a config would change", [this] { return reload(context_, file_, settings_, true); });
    auto* reload_verb = verb("reload", "Make a running system as its config, or another one, says; what need not change goes on",
                             [this] { return reload(context_, file_, settings_, false); });
    add_timeout(reload_verb, "no limit");
    for (auto* with_file : {diff, reload_verb}) {
      with_file->add_option("CONFIG", file_, "The config; otherwise the one that the system was launched from");
      with_file->add_option("--set", settings_, "NAME=VALUE: what ${NAME} in the config stands for")->type_size(1)->expected(1)->take_all();
    }
  }

  void add_debugger() {
    auto* gdb_verb = named("gdb", "Attach a debugger to its process", [this] { return gdb(context_, name_, program_, batch_); });
    gdb_verb->add_option("--gdb", program_, "The debugger; otherwise $MUPROC_GDB, or gdb");
    gdb_verb->add_flag("--batch", batch_, "Print the stacks of all threads, and let go of it");
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

  void add_completion() {
    verb("completion", "A script that completes muctl's words: put it where your shell looks for such", [this] { return completion_script(); })
        ->add_option("SHELL", shell_, "bash, zsh or fish")
        ->required()
        ->check(CLI::IsMember({"bash", "zsh", "fish"}));
    // What those scripts ask.
    verb("complete-names", "", [this] { return complete_names(context_); })->group("");
    verb("complete-systems", "", [] { return complete_systems(); })->group("");
  }

  std::string completion_script() const {
    using muproc::wire::Values;
    const auto values_of = [](const std::string& verb, const std::string& word) -> Values {
      using Kind = Values::Kind;
      if (word == "NAME" || word == "--under" || word == "--to") return {Kind::names, {}};
      if (word == "--system") return {Kind::systems, {}};
      if (word == "CONFIG" || word == "--module" || word == "--gdb" || word == "--schema") return {Kind::files, {}};
      if (word == "SHELL") return {Kind::words, {"bash", "zsh", "fish"}};
      if (word == "REASON") return {Kind::words, {"normal", "shutdown"}};
      if (verb == "spawn" && word == "--restart") return {Kind::words, {"permanent", "transient", "temporary"}};
      if (verb == "spawn" && word == "--stop") return {Kind::words, {"kill", "forever"}};
      return {};
    };
    const std::string script = muproc::wire::completion(muproc::wire::command_of(app_, values_of), *muproc::wire::shell_named(shell_));
    if (!context_.json) return script;
    JsonWriter json;
    json.begin_object().field("shell", std::string_view(shell_)).field("script", std::string_view(script)).end_object();
    return json.take() + '\n';
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
    add_duration(command, "--timeout", "How long to wait, as 5s or 250ms; otherwise " + otherwise,
                 [this](std::chrono::nanoseconds time) { context_.timeout = time; });
  }

  static void add_duration(CLI::App* command, const std::string& option, const std::string& text, const std::function<void(std::chrono::nanoseconds)>& set) {
    const std::map<std::string, double> units = {{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}};
    const auto take = [set](double seconds) { set(std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9))); };
    const CLI::AsNumberWithUnit::Options how = CLI::AsNumberWithUnit::UNIT_REQUIRED;
    command->add_option_function<double>(option, take, text)
        ->transform(CLI::AsNumberWithUnit(units, how, "DURATION"))
        ->check(CLI::Range(0.0, 3.15e9).description(""));
  }

  static std::string complaint(const CLI::App& app, const CLI::Error& error) {
    std::string text = error.what();
    const auto rest = app.remaining();
    if (app.get_subcommands().empty() && rest.empty()) text = "a verb is missing";
    if (app.get_subcommands().empty() && !rest.empty()) {
      std::vector<std::string> words;
      for (const auto* command : app.get_subcommands([](const CLI::App* verb) { return !verb->get_group().empty(); }))
        words.push_back(command->get_name());
      const std::vector<std::string_view> views(words.begin(), words.end());
      text = "there is no verb \"" + rest.front() + '"' + muproc::wire::did_you_mean(rest.front(), views);
    }
    return "muctl: " + printable(text) + "\nmuctl --help says what there is; muctl VERB --help says more.\n";
  }

  CLI::App app_{"Asks a running system what it does, and tells it what to do.", "muctl"};
  Context context_;
  std::string name_, reason_;
  std::string file_, program_, shell_;
  std::vector<std::string> fields_, settings_;
  SpawnRequest spawn_;
  TraceRequest trace_;
  bool no_wait_ = false, follow_ = false, batch_ = false;
  std::size_t count_ = 50, last_ = 20;
  std::chrono::nanoseconds watch_ = std::chrono::seconds(2);
  std::function<std::string()> action_;
  ExitCode code_ = ExitCode::ok;
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
