// What is wrong with a config: all of it, in the order of the file.
//
//     super.toml:7:12: error: no muproc or supervisor is named "ch-4"; did you mean "ch-1"?
//         children = ["ch-4", "ch-2"]
//                     ^~~~~~
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "broker/config/source_text.hpp"

namespace muproc::broker {

enum class Severity { warning, error };

struct Diagnostic {
  Region at;
  Severity severity = Severity::error;
  std::string message;
  friend auto operator<=>(const Diagnostic&, const Diagnostic&) = default;
};

class Diagnostics {
 public:
  /// Messages have no end mark. The same one at the same place is kept once.
  void error(const Region& at, std::string message);
  void warning(const Region& at, std::string message);

  [[nodiscard]] std::size_t errors() const;
  [[nodiscard]] std::size_t warnings() const;
  /// All of them by file and position, each with its source line; empty if there are none.
  [[nodiscard]] std::string report(std::span<const SourceText> sources) const;

 private:
  void add(Diagnostic diagnostic);
  std::vector<Diagnostic> all_;
};

}  // namespace muproc::broker
