// Running muctl, as a shell does.
#pragma once

#include <string>
#include <vector>

namespace muproc::test {

struct Outcome {
  int code;
  std::string out, err;
};

/// Runs it with these words, in the test's runtime directory.
Outcome muctl(std::vector<std::string> words);
/// What it prints, when it must succeed and has nothing to complain of.
std::string said(std::vector<std::string> words);

}  // namespace muproc::test
