#include "support/process.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <sstream>

#include "support/catch.hpp"

namespace muproc::test {
namespace {

pid_t parent_of(pid_t os_pid) {
  std::ifstream file("/proc/" + std::to_string(os_pid) + "/stat");
  std::string line;
  std::getline(file, line);
  char state;
  pid_t parent = 0;
  // The name in parentheses may contain anything; what follows the last one is plain.
  if (const auto end = line.rfind(')'); end != line.npos) std::istringstream(line.substr(end + 1)) >> state >> parent;
  return parent;
}

}  // namespace

void adopt_orphans() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }

std::vector<pid_t> own_children() {
  std::vector<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != name.npos) continue;
    const pid_t os_pid = std::stoi(name);
    if (parent_of(os_pid) == ::getpid()) children.push_back(os_pid);
  }
  return children;
}

void nobody_is_left(const std::vector<pid_t>& but) {
  const auto strangers = [&] {
    std::vector<pid_t> left;
    for (const pid_t child : own_children()) {
      if (std::find(but.begin(), but.end(), child) != but.end()) continue;
      if (::waitpid(child, nullptr, WNOHANG | __WALL) != child) left.push_back(child);
    }
    return left;
  };
  detail::Looking looking;
  while (!strangers().empty() && looking.go_on()) {
  }
  std::string names;
  // Killing one may orphan others, which come to us then.
  for (auto left = strangers(); !left.empty(); left = strangers()) {
    for (const pid_t orphan : left) {
      std::ifstream file("/proc/" + std::to_string(orphan) + "/comm");
      std::string name;
      std::getline(file, name);
      names += ' ' + std::to_string(orphan) + " (" + name + ')';
      ::kill(orphan, SIGKILL);
      ::waitpid(orphan, nullptr, __WALL);
    }
  }
  if (!names.empty()) FAIL("processes were left behind:" << names);
}

}  // namespace muproc::test
