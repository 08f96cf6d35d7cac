#include "broker/config/diagnostics.hpp"

#include <algorithm>
#include <utility>

namespace muproc::broker {

void Diagnostics::error(const Region& at, std::string message) { add({at, Severity::error, std::move(message)}); }
void Diagnostics::warning(const Region& at, std::string message) { add({at, Severity::warning, std::move(message)}); }

void Diagnostics::add(Diagnostic diagnostic) {
  if (std::ranges::find(all_, diagnostic) == all_.end()) all_.push_back(std::move(diagnostic));
}

std::size_t Diagnostics::errors() const {
  return static_cast<std::size_t>(std::ranges::count(all_, Severity::error, &Diagnostic::severity));
}
std::size_t Diagnostics::warnings() const { return all_.size() - errors(); }

std::string Diagnostics::report(std::span<const SourceText> sources) const {
  std::vector<Diagnostic> sorted = all_;
  std::ranges::stable_sort(sorted, {}, [](const Diagnostic& d) { return std::pair(d.at.file, d.at.begin); });
  std::string text;
  for (const Diagnostic& d : sorted) {
    const SourceText& source = sources[d.at.file];
    const char* kind = d.severity == Severity::error ? "error" : "warning";
    text += source.name() + ':' + std::to_string(d.at.begin.line) + ':' + std::to_string(d.at.begin.column) + ": " +
            kind + ": " + d.message + '\n' + source.excerpt(d.at);
  }
  return text;
}

}  // namespace muproc::broker
