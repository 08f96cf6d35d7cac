// Config files: they are refused with an error that has a place, or they are a system, which differs in nothing from itself.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "broker/config.hpp"
#include "broker/spec_diff.hpp"
#include "broker/supervisor_plan.hpp"

using namespace muproc;
using namespace muproc::broker;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  // No other file is read: what an include finds would not be this input.
  if (text.find("include") != text.npos) return 0;
  const ConfigResult result = parse_config(text, "/no/such/folder/fuzz.toml", {{"NAME", "value"}});
  if (result.system.has_value() != (result.errors == 0)) std::abort();
  if (!result.system) {
    if (result.report.find("error: ") == result.report.npos) std::abort();
    return 0;
  }
  for (const Change& change : diff(*result.system, *result.system))
    if (change.kind != Change::Kind::keep) std::abort();
  try {
    (void)plan_of(*result.system, result.system->root);
  } catch (const std::invalid_argument&) {
    // A user that is not there.
  }
  return 0;
}
