#include "support/muctl.hpp"

#include <utility>

#include "support/catch.hpp"
#include "support/files.hpp"
#include "support/paths.hpp"
#include "support/process.hpp"

namespace muproc::test {

Outcome muctl(std::vector<std::string> words) {
  const auto err = runtime_dir() / "muctl-stderr";
  std::vector<std::string> argv = {"/bin/sh", "-c", R"(exec "$@" 2>"$0")", err.string(), bin_dir() + "/muctl"};
  argv.insert(argv.end(), words.begin(), words.end());
  Process process = Process::program(std::move(argv));
  const int code = process.wait();
  return {code, process.output(), contents(err)};
}

std::string said(std::vector<std::string> words) {
  const Outcome outcome = muctl(std::move(words));
  INFO(outcome.err);
  CHECK(outcome.err.empty());
  REQUIRE(outcome.code == 0);
  return outcome.out;
}

}  // namespace muproc::test
