// The main of every test suite. What a test starts lives in a runtime directory of this process's own, so that tests can
// run side by side and meet no system of the user's.
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_RUNNER
#endif
#include <cstdlib>
#include <filesystem>
#include <string>

#include "support/catch.hpp"
#include "support/process.hpp"

namespace {

class OwnRuntimeDir {
 public:
  OwnRuntimeDir() {
    path_ = (std::filesystem::temp_directory_path() / "muproc-test-XXXXXX").string();
    if (mkdtemp(path_.data()) == nullptr || setenv("MUPROC_RUNTIME_DIR", path_.c_str(), 1) != 0) std::abort();
  }
  ~OwnRuntimeDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  OwnRuntimeDir(const OwnRuntimeDir&) = delete;
  OwnRuntimeDir& operator=(const OwnRuntimeDir&) = delete;

 private:
  std::string path_;
};

#ifdef CATCH_CONFIG_RUNNER
using Listener = Catch::TestEventListenerBase;
#else
using Listener = Catch::EventListenerBase;
#endif

/// Whether anything has failed in the test case that runs. (Before the first assertion Catch says that the last one has.)
struct Failures : Listener {
  using Listener::Listener;
  static inline bool any = false;
  void testCaseStarting(const Catch::TestCaseInfo&) override { any = false; }
#ifdef CATCH_CONFIG_RUNNER
  bool assertionEnded(const Catch::AssertionStats& stats) override {
    any = any || !stats.assertionResult.isOk();
    return false;
  }
#else
  void assertionEnded(const Catch::AssertionStats& stats) override { any = any || !stats.assertionResult.isOk(); }
#endif
};
CATCH_REGISTER_LISTENER(Failures)

}  // namespace

int main(int argc, char* argv[]) {
  Catch::Session session;
  if (int failed = session.applyCommandLine(argc, argv)) return failed;
#ifdef CATCH_CONFIG_RUNNER
  // Version 2 calls it a success when no test matched the title asked for; version 3 does not.
  session.configData().warnings =
      static_cast<Catch::WarnAbout::What>(session.configData().warnings | Catch::WarnAbout::NoTests);
#endif
  OwnRuntimeDir runtime_dir;
  muproc::test::adopt_orphans();
  muproc::test::Process::test_has_failed = [] {
    return std::uncaught_exceptions() > 0 || (Failures::any && !Catch::getResultCapture().lastAssertionPassed());
  };
  return session.run();
}
