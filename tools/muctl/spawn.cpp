// New muprocs: by themselves, under a supervisor, from a supervisor's template.
#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <map>

#include <muproc/supervision.hpp>

#include "tools/common/failure.hpp"
#include "tools/common/json.hpp"
#include "tools/common/key_value.hpp"
#include "tools/common/text.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/codec.hpp"

namespace muproc::tools {
namespace {

constexpr std::int64_t k_stop_by_kill = -1, k_stop_forever = -2;  // as control.capnp has them

[[noreturn]] void misused(const std::string& text) { throw Failure(ExitCode::usage, text); }

std::int64_t stop_in(const std::string& text) {
  if (text == "kill") return k_stop_by_kill;
  if (text == "forever") return k_stop_forever;
  static const std::map<std::string_view, double> units = {{"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
  double count = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const auto unit = units.find(std::string_view(end, static_cast<std::size_t>(text.data() + text.size() - end)));
  if (error != std::errc() || unit == units.end() || !(count >= 0) || count * unit->second > 3.15e18)
    misused(fmt::format("--stop is \"{}\": write kill, forever or a duration such as 5s or 250ms", printable(text)));
  return static_cast<std::int64_t>(count * unit->second);
}

std::uint8_t restart_in(const std::string& text) {
  if (text == "permanent") return static_cast<std::uint8_t>(permanent);
  if (text == "transient") return static_cast<std::uint8_t>(transient);
  if (text == "temporary") return static_cast<std::uint8_t>(temporary);
  misused(fmt::format("--restart is \"{}\": write permanent, transient or temporary", printable(text)));
}

/// Where the user stands means nothing to the broker; a bare name is searched for where the broker does.
std::string path_or_name(const std::string& path) {
  return path.find('/') == path.npos ? path : std::filesystem::absolute(path).lexically_normal().string();
}

/// The name, if there is one, comes before the fields.
struct Words {
  std::string name;
  Mumsg args;
};
Words words_in(const SpawnRequest& request) {
  Words words;
  auto fields = request.words;
  if (!fields.empty() && fields.front().find('=') == std::string::npos) {
    words.name = fields.front();
    fields.erase(fields.begin());
  }
  try {
    words.args = parse_fields(fields);
  } catch (const KeyValueError& failure) {
    misused(failure.what());
  }
  return words;
}

void check_code(const SpawnRequest& request) {
  const bool is_program = !request.program.empty();
  const bool is_module = !request.module.empty() || !request.entry.empty();
  if (is_program && is_module) misused("a muproc is a --module with an --entry, or a program after --, not both");
  if (!is_program && request.entry.empty()) misused("what is it to run? Give --module FILE --entry NAME, or a program after --");
  if (request.plain && !is_program) misused("--plain belongs to a program after --");
}

void write_child(wire::Child::Builder to, const SpawnRequest& request, const Words& words) {
  to.setName(wire::pointer(words.name));
  if (request.program.empty()) {
    auto code = to.initEntry();
    code.setModule(path_or_name(request.module));
    code.setEntry(wire::pointer(request.entry));
  } else {
    auto argv = to.initExec(static_cast<unsigned>(request.program.size()));
    for (unsigned i = 0; i < request.program.size(); ++i)
      argv.set(i, i == 0 ? path_or_name(request.program[0]) : request.program[i]);
    to.setPlain(request.plain);
  }
  wire::write(to.initArgs(), words.args);
  to.setRestart(restart_in(request.restart.empty() ? (request.under.empty() ? "temporary" : "permanent") : request.restart));
  to.setStopNs(stop_in(request.stop.empty() ? "5s" : request.stop));
}

bool is_template(BrokerClient& broker, const std::string& supervisor) {
  auto answer = broker.ask([&](wire::ToBroker::Builder request) { request.initWhichChildren().setName(wire::pointer(supervisor)); });
  return answer.as<wire::FromBroker>().getChildren().getIsTemplate();
}

}  // namespace

std::string spawn(const Context& context, const SpawnRequest& request) {
  const Words words = words_in(request);
  if (request.under.empty()) {
    check_code(request);
    if (!request.restart.empty()) misused("--restart means nothing without a supervisor: add --under SUPERVISOR");
  }
  BrokerClient broker = context.broker();
  const bool from_template = !request.under.empty() && is_template(broker, request.under);
  if (from_template && (!request.module.empty() || !request.entry.empty() || !request.program.empty() || request.plain ||
                        !request.restart.empty() || !request.stop.empty()))
    throw Failure(ExitCode::request_failed,
                  request.under + " makes its children from a template: give a name and fields, and nothing else");
  if (!from_template) {
    if (words.name.empty()) misused("a name for the new muproc is missing");
    check_code(request);
  }
  auto answer = broker.ask(
      [&](wire::ToBroker::Builder to) {
        if (request.under.empty()) return write_child(to.initSpawn().initChild(), request, words);
        auto start = to.initStartChild();
        start.initSupervisor().setName(wire::pointer(request.under));
        if (!from_template) return write_child(start.initChild(), request, words);
        auto instance = start.initInstance();
        instance.setName(wire::pointer(words.name));
        wire::write(instance.initArgs(), words.args);
      },
      context.timeout);
  const auto contents = answer.as<wire::FromBroker>();
  const Pid pid(contents.isPid() ? contents.getPid() : 0);
  const std::string name = words.name.empty() && pid ? broker.nodes().name_of(pid) : words.name;
  if (context.json) {
    JsonWriter json;
    json.begin_object().field("verb", "spawn").field("name", name);
    json.field("pid", pid ? std::optional(to_string(pid)) : std::nullopt).end_object();
    return json.take() + '\n';
  }
  return pid ? fmt::format("spawned {} {}\n", printable(name), to_string(pid)) : fmt::format("{} has declined to run\n", printable(name));
}

}  // namespace muproc::tools
