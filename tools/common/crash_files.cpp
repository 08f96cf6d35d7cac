#include "tools/common/crash_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "tools/common/failure.hpp"

namespace muproc::tools {
namespace {

namespace fs = std::filesystem;

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Failure(ExitCode::request_failed, "cannot read " + path.native());
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

bool CrashReport::is_of(std::string_view muproc) const { return file.stem + ".log" == wire::log_file_name(muproc); }

std::string CrashReport::text() const { return contents(path.native() + ".txt"); }

std::string CrashReport::json() const { return contents(path.native() + ".json"); }

std::vector<CrashReport> crash_reports_in(const fs::path& folder) {
  std::vector<CrashReport> reports;
  std::error_code unreadable;
  for (const auto& entry : fs::directory_iterator(folder, unreadable)) {
    const auto file = wire::parse_crash_file(entry.path().filename().native());
    if (file && entry.path().extension() == ".json")
      reports.push_back({*file, fs::path(entry.path()).replace_extension()});
  }
  if (unreadable)
    throw Failure(unreadable == std::errc::permission_denied ? ExitCode::permission : ExitCode::no_system,
                  "there are no crash reports in " + folder.native() + ": " + unreadable.message());
  std::sort(reports.begin(), reports.end(),
            [](const CrashReport& a, const CrashReport& b) { return a.file.stamp > b.file.stamp; });
  return reports;
}

std::string line_of(const std::string& report, const std::string& word) {
  const auto at = report.starts_with(word) ? 0 : report.find('\n' + word + ' ');
  if (at == report.npos) return {};
  const auto begin = report.find_first_not_of(' ', at + word.size() + 1);
  return begin == report.npos ? std::string() : report.substr(begin, report.find('\n', begin) - begin);
}

std::string when(const std::string& stamp) {
  return fmt::format("{}-{}-{} {}:{}:{}", stamp.substr(0, 4), stamp.substr(4, 2), stamp.substr(6, 2),
                     stamp.substr(9, 2), stamp.substr(11, 2), stamp.substr(13));
}

}  // namespace muproc::tools
