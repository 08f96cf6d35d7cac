// Another config for a system that runs: diff says what reload would do.
#include <fmt/format.h>

#include <filesystem>
#include <iostream>

#include "tools/common/failure.hpp"
#include "tools/common/json.hpp"
#include "tools/common/text.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/codec.hpp"

namespace muproc::tools {
namespace {

using Changes = wire::Changes::Reader;

void write_settings(wire::Reload::Builder to, const std::vector<std::string>& settings) {
  auto list = to.initSettings(static_cast<unsigned>(settings.size()));
  for (unsigned i = 0; i < settings.size(); ++i) {
    const auto equals = settings[i].find('=');
    if (equals == std::string::npos || equals == 0)
      throw Failure(ExitCode::usage, fmt::format("--set: \"{}\" is no NAME=VALUE", printable(settings[i])));
    list[i].setName(settings[i].substr(0, equals).c_str());
    list[i].setValue(settings[i].substr(equals + 1).c_str());
  }
}

std::string lines_of(Changes changes) {
  std::string text, kept;
  for (const auto change : changes.getChanges()) {
    const std::string name = printable(wire::view(change.getName()));
    if (wire::view(change.getVerb()) == "keep") {
      kept += (kept.empty() ? "" : ", ") + name;
      continue;
    }
    text += fmt::format("{:<8} {}\n", wire::view(change.getVerb()), name.empty() ? "the system" : name);
    for (const auto detail : change.getDetails()) text += fmt::format("           {}\n", printable(wire::view(detail)));
    if (change.getError().size() > 0) text += fmt::format("           failed: {}\n", printable(wire::view(change.getError())));
  }
  if (text.empty()) text = "nothing changes\n";
  return kept.empty() ? text : text + fmt::format("{:<8} {}\n", "keep", kept);
}

std::string json_of(Changes changes) {
  JsonWriter json;
  json.begin_object();
  json.key("changes").begin_array();
  for (const auto change : changes.getChanges()) {
    json.begin_object().field("verb", wire::view(change.getVerb())).field("name", wire::view(change.getName()));
    json.key("details").begin_array();
    for (const auto detail : change.getDetails()) json.value(wire::view(detail));
    json.end_array();
    const auto error = wire::view(change.getError());
    error.empty() ? json.field("error", std::optional<std::string>()) : json.field("error", error);
    json.end_object();
  }
  json.end_array();
  json.field("warnings", wire::view(changes.getWarnings())).end_object();
  return json.take() + '\n';
}

}  // namespace

std::string reload(const Context& context, const std::string& file, const std::vector<std::string>& settings, bool only_ask) {
  BrokerClient broker = context.broker();
  const auto fill = [&](wire::ToBroker::Builder request) {
    auto reload = request.initReload();
    if (!file.empty()) reload.setFile(std::filesystem::absolute(file).lexically_normal().c_str());
    write_settings(reload, settings);
    reload.setIsOnlyAsked(only_ask);
  };
  // It takes as long as all stops and starts that it makes.
  auto reply = broker.ask(fill, only_ask ? Patience(context.short_patience()) : context.timeout);
  const Changes changes = reply.as<wire::FromBroker>().getChanges();
  std::cerr << wire::view(changes.getWarnings());
  const std::string text = context.json ? json_of(changes) : lines_of(changes);
  for (const auto change : changes.getChanges()) {
    if (change.getError().size() == 0) continue;
    std::cout << text << std::flush;
    throw Failure(ExitCode::request_failed, "not everything could be changed; the next reload tries again what was to be added");
  }
  return text;
}

}  // namespace muproc::tools
