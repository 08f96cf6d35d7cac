#include <fmt/format.h>

#include "tools/common/diagnosis.hpp"
#include "tools/common/examination.hpp"
#include "tools/common/json.hpp"
#include "tools/common/text.hpp"
#include "tools/muctl/verbs.hpp"

namespace muproc::tools {
namespace {

std::string text_of(const SystemFacts& facts, const std::vector<Finding>& findings) {
  if (findings.empty())
    return fmt::format("nothing is wrong with {}, as far as {} of watching {} muprocs tell\n", printable(facts.system), short_duration(facts.watched), facts.muprocs.size());
  std::string out;
  for (const Finding& finding : findings)
    out += fmt::format("{}: {}\n        {}\n", to_string(finding.severity), finding.text, finding.advice);
  return out;
}

std::string json_of(const SystemFacts& facts, const std::vector<Finding>& findings) {
  JsonWriter json;
  json.begin_object().field("system", facts.system).field("watched_seconds", std::chrono::duration<double>(facts.watched).count());
  json.field("muprocs", facts.muprocs.size()).key("findings").begin_array();
  for (const Finding& finding : findings) {
    json.begin_object().field("kind", finding.kind).field("severity", to_string(finding.severity));
    json.key("name");
    finding.name.empty() ? json.value(nullptr) : json.value(std::string_view(finding.name));
    json.field("text", finding.text).field("advice", finding.advice).end_object();
  }
  json.end_array().end_object();
  return json.take() + '\n';
}

}  // namespace

Verdict doctor(const Context& context, std::chrono::nanoseconds watch) {
  const SystemFacts facts = examine(context.system, watch);
  const std::vector<Finding> findings = diagnose(facts);
  return {context.json ? json_of(facts, findings) : text_of(facts, findings), findings.empty()};
}

}  // namespace muproc::tools
