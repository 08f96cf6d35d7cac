#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <iostream>
#include <optional>

#include "tools/common/failure.hpp"
#include "tools/common/log_reader.hpp"
#include "tools/common/log_source.hpp"
#include "tools/common/text.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/codec.hpp"
#include "wire/control_socket.hpp"
#include "wire/log_line.hpp"

namespace muproc::tools {
namespace {

namespace fs = std::filesystem;

LogSource source_of(const Context& context, const fs::path& folder, const std::string& name) {
  if (auto source = log_source_of(folder, name)) return *std::move(source);
  // Nobody of that name has said a word so far, if there is one at all.
  BrokerClient broker = context.broker();
  const Nodes nodes = broker.nodes();
  const Node node = nodes.find(name);
  return node.getParent().size() > 0 ? LogSource{folder / wire::log_file_name(name_of(node)), {}} : LogSource{folder / wire::k_spawned_log, name_of(node)};
}

class Printer {
 public:
  Printer(const Context& context, const LogSource& source) : source_(source), json_(context.json), is_terminal_(::isatty(STDOUT_FILENO) == 1) {}

  void operator()(std::string_view line) const {
    const auto parsed = source_.parse(line);
    if (json_) {
      std::cout << (parsed ? wire::to_json(*parsed) : wire::to_json({{}, "out", false, {}, 0, std::string(line)})) << '\n';
      return;
    }
    const std::string text = parsed && line.starts_with('{') ? wire::to_text(*parsed) : std::string(line);
    std::cout << (is_terminal_ ? printable(text) : text) << '\n';
  }

 private:
  const LogSource& source_;
  bool json_, is_terminal_;
};

/// Wakes when something in the folder changes, and once a second in any case.
class FolderWatch {
 public:
  explicit FolderWatch(const fs::path& folder) : inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
    if (inotify_) ::inotify_add_watch(inotify_.get(), folder.c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO);
  }
  void wait() const {
    pollfd fd{inotify_.get(), POLLIN, 0};
    ::poll(&fd, 1, 1000);
    char events[4096];
    while (inotify_ && ::read(inotify_.get(), events, sizeof events) > 0) {
    }
  }

 private:
  sys::UniqueFd inotify_;
};

}  // namespace

std::string log(const Context& context, const std::string& name, std::size_t count, bool follow) {
  const fs::path folder = wire::find_system(context.system) / "logs";
  std::error_code unreadable;
  if (!fs::is_directory(folder, unreadable))
    throw Failure(unreadable == std::errc::permission_denied ? ExitCode::permission : ExitCode::no_system,
                  "there are no logs in " + folder.native() + (unreadable ? ": " + unreadable.message() : "; is there such a system? \"mubroker run\" writes them"));
  const FolderWatch watch(folder);
  const LogSource source = source_of(context, folder, name);
  const Printer print(context, source);
  LogReader reader(source.file);
  for (const std::string& line : reader.last(count, [&](std::string_view text) { return source.wants(text); })) print(line);
  std::cout << std::flush;
  for (unsigned lost = 0; follow; watch.wait()) {
    reader.read_on([&](std::string_view line) {
      if (source.wants(line)) print(line);
    });
    std::cout << std::flush;
    if (!std::cout) return {};  // nobody reads any more
    if (std::exchange(lost, reader.lost()) != reader.lost()) std::cerr << "muctl: lines were rotated away before they could be read\n";
  }
  return {};
}

}  // namespace muproc::tools
