#include <algorithm>

#include "tools/common/crash_files.hpp"
#include "tools/common/failure.hpp"
#include "tools/common/json.hpp"
#include "tools/common/table.hpp"
#include "tools/common/text.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/control_socket.hpp"

namespace muproc::tools {
namespace {

std::string list(const Context& context, const std::vector<CrashReport>& reports) {
  if (context.json) {
    JsonWriter json;
    json.begin_array();
    for (const CrashReport& report : reports) {
      const std::string text = report.text();
      json.begin_object().field("muproc", std::string_view(line_of(text, "muproc"))).field("ended", std::string_view(when(report.file.stamp)));
      json.field("reason", std::string_view(line_of(text, "reason"))).field("file", std::string_view(report.path.native() + ".json")).end_object();
    }
    json.end_array();
    return json.take() + '\n';
  }
  Table table({"ENDED", "MUPROC", "REASON", "FILE"});
  for (const CrashReport& report : reports) {
    const std::string text = report.text();
    table.add({when(report.file.stamp), printable(line_of(text, "muproc")), printable(line_of(text, "reason")), report.path.filename().native() + ".txt"});
  }
  return table.text();
}

}  // namespace

std::string crash(const Context& context, const std::string& name) {
  const auto reports = crash_reports_in(wire::find_system(context.system) / "crashes");
  if (name.empty()) return list(context, reports);
  const auto latest = std::find_if(reports.begin(), reports.end(), [&](const CrashReport& report) { return report.is_of(name); });
  if (latest == reports.end()) throw Failure(ExitCode::request_failed, "there is no crash report of \"" + printable(name) + "\"; muctl crash lists those that there are");
  return context.json ? latest->json() : latest->text();
}

}  // namespace muproc::tools
