// The main of every test suite.
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_RUNNER
#endif
#include "support/catch.hpp"

int main(int argc, char* argv[]) {
  Catch::Session session;
  if (int failed = session.applyCommandLine(argc, argv)) return failed;
#ifdef CATCH_CONFIG_RUNNER
  // Version 2 calls it a success when no test matched the title asked for; version 3 does not.
  session.configData().warnings =
      static_cast<Catch::WarnAbout::What>(session.configData().warnings | Catch::WarnAbout::NoTests);
#endif
  return session.run();
}
