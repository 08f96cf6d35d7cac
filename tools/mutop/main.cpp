// mutop: a window into a running system.
#include <CLI/CLI.hpp>

#include <poll.h>
#include <unistd.h>

#include <langinfo.h>
#include <chrono>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tools/common/failure.hpp"
#include "tools/common/sampler.hpp"
#include "tools/common/system_view.hpp"
#include "tools/common/text.hpp"
#include "tools/mutop/app.hpp"
#include "tools/mutop/batch.hpp"
#include "tools/mutop/live_world.hpp"
#include "tools/mutop/terminal.hpp"
#include "wire/version.hpp"

namespace {

using namespace muproc;
using namespace muproc::mutop;
using namespace std::chrono;
using tools::ExitCode;
using tools::Failure;
using Clock = steady_clock;

struct CommandLine {
  std::string system;
  double delay = 1.5;
  std::optional<std::uint64_t> refreshes;
  std::vector<std::string> schemas;
  bool batch = false, json = false, no_color = false, ascii = false, allow_actions = false;

  nanoseconds period() const { return duration_cast<nanoseconds>(duration<double>(delay)); }
};

// ---- for scripts -----------------------------------------------------------------------------------------------------

/// False when nobody reads any more.
bool print(const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

/// Rates need two looks, so the first refresh comes after the first delay.
ExitCode run_batch(const CommandLine& options) {
  std::signal(SIGPIPE, SIG_IGN);
  tools::SystemView view(options.system);
  tools::Sampler sampler;
  Model model;
  model.update(sampler.sample(view.look()));
  auto next = Clock::now();
  for (std::uint64_t done = 0; !options.refreshes || done < *options.refreshes; ++done) {
    next += options.period();
    std::this_thread::sleep_until(next);
    model.update(sampler.sample(view.look()));
    if (!print(options.json ? json_of(model) : text_of(model))) return ExitCode::ok;
    if (model.now().is_gone())
      throw Failure(ExitCode::no_system, "the system " + tools::printable(model.now().system) + " has ended");
  }
  return ExitCode::ok;
}

// ---- for people ------------------------------------------------------------------------------------------------------

class Screen {
 public:
  explicit Screen(const CommandLine& options)
      : options_(options),
        view_(std::make_shared<tools::SystemView>(options.system)),
        schemas_(options.schemas),
        world_(view_, schemas_.all),
        app_(world_, {is_ascii(options), options.allow_actions}),
        terminal_(!options.no_color && !has_no_color()) {}

  void run() {
    look();
    draw();
    while (!app_.wants_to_quit() && (!options_.refreshes || refreshes_ <= *options_.refreshes)) {
      if (!wait()) return;
      world_.pump();
      bool has_news = false;
      while (const auto key = terminal_.key()) {
        app_.handle(*key);
        has_news = true;
      }
      app_.look_around();
      if (Clock::now() >= next_) {
        look();
        has_news = true;
      }
      if (has_news) draw();
    }
  }

 private:
  static bool has_no_color() {
    const char* set = std::getenv("NO_COLOR");
    return set && *set;
  }
  static bool is_ascii(const CommandLine& options) {
    return options.ascii || std::string_view(::nl_langinfo(CODESET)) != "UTF-8";
  }

  /// False when the terminal has gone.
  bool wait() {
    pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {world_.link().fd(), world_.link().events(), 0}};
    auto left = std::max<nanoseconds>(next_ - Clock::now(), 0ns);
    if (const auto pause = world_.trace_pause()) left = std::min(left, std::max<nanoseconds>(*pause, 1ms));
    const timespec time{duration_cast<seconds>(left).count(), (left % 1s).count()};
    ::ppoll(fds, 2, &time, nullptr);  // a signal, as of another size, is a reason to look, too
    return (fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) == 0;
  }

  void look() {
    auto now = view_->look();
    if (now->is_gone() && view_->is_succeeded()) now = look_at_successor(now);
    world_.set_snapshot(now);
    world_.pump();
    app_.update(sampler_.sample(std::move(now)));
    app_.look_around();
    ++refreshes_;
    // Not faster than it can be done, when it takes long.
    next_ = std::max(next_ + options_.period(), Clock::now());
  }

  /// The system was started again, and is looked at from now on; until it can be, the last that was seen stays.
  std::shared_ptr<const tools::Snapshot> look_at_successor(std::shared_ptr<const tools::Snapshot> last) {
    try {
      auto view = std::make_shared<tools::SystemView>(view_->folder().native());
      auto now = view->look();
      view_ = std::move(view);
      world_.set_view(view_);
      sampler_ = {};
      return now;
    } catch (const Failure&) {
      return last;
    }
  }

  void draw() { terminal_.show(app_.draw(terminal_.rows(), terminal_.columns())); }

  struct LoadedSchemas {
    explicit LoadedSchemas(const std::vector<std::string>& files) {
      for (const std::string& file : files) all.add(file);
    }
    tools::Schemas all;
  };

  const CommandLine& options_;
  std::shared_ptr<tools::SystemView> view_;
  tools::Sampler sampler_;
  LoadedSchemas schemas_;
  LiveWorld world_;
  App app_;
  Terminal terminal_;
  Clock::time_point next_ = Clock::now();
  std::uint64_t refreshes_ = 0;
};

ExitCode run(int argc, char** argv) {
  CommandLine options;
  CLI::App app("A window into a running system of muprocs: who lives, what they do, and what waits.", "mutop");
  app.set_version_flag("--version", std::string("mutop ") + wire::k_library_version);
  app.add_option("-s,--system", options.system,
                 "The system's name or the path of its folder; may be left out when one runs, or with $MUPROC_SYSTEM");
  app.add_option("-d,--delay", options.delay, "Seconds between two refreshes")
      ->check(CLI::Range(0.05, 86400.0).description(""))
      ->capture_default_str();
  app.add_option("-n,--refreshes", options.refreshes, "End after so many refreshes");
  app.add_option("--schema", options.schemas,
                 "A .capnp file: messages of its types are shown with their fields; may be given several times")
      ->type_size(1)
      ->expected(1)
      ->take_all();
  app.add_flag("-b,--batch", options.batch, "Print to standard output, for scripts and files");
  app.add_flag("--json", options.json, "With -b: a JSON object in each line");
  app.add_flag("--no-color", options.no_color, "No colours; as with $NO_COLOR");
  app.add_flag("--ascii", options.ascii, "Draw with ASCII characters; so it does where the locale is not UTF-8");
  app.add_flag("--allow-actions", options.allow_actions,
               "Keys may restart, stop, start and kill muprocs, after a question");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? ExitCode::ok : ExitCode::usage;
  }
  if (options.json && !options.batch) throw Failure(ExitCode::usage, "--json goes with -b");
  tools::allow_many_descriptors();
  if (options.batch) return run_batch(options);
  Screen(options).run();
  return ExitCode::ok;
}

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_ALL, "");
  std::setlocale(LC_NUMERIC, "C");
  ExitCode code = ExitCode::request_failed;
  try {
    return static_cast<int>(run(argc, argv));
  } catch (const Failure& failure) {
    code = failure.code;
    std::cerr << "mutop: " << failure.what() << '\n';
  } catch (const std::exception& failure) {
    std::cerr << "mutop: " << failure.what() << '\n';
  }
  return static_cast<int>(code);
}
