// Marks, and what /proc says of this process and its children.
#include "broker/descendants.hpp"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>

#include "support/catch.hpp"
#include "support/process.hpp"

using namespace muproc;
using namespace muproc::broker;

namespace {
const std::string token = "@42-0000000000000001";
}

TEST_CASE("a mark is found among other things, and only with its own token", "[broker][descendants]") {
  CHECK(marked("A=1\nMUPROC_PID=<0.3.17>" + token, token) == Pid(0, 3, 17));
  CHECK(marked("MUPROC_PID=<0.9.9>@7-0000000000000009 <0.3.1>" + token + " <0.4.1>@8-0000000000000001", token) == Pid(0, 3, 1));
  CHECK(marked("7f00-8000 ---p 0 00:01 5 /memfd:muproc:<0.3.1>" + token + " (deleted)", token) == Pid(0, 3, 1));
  CHECK(marked("X=" + token + " Y=<0.3.1>" + token, token) == Pid(0, 3, 1));
  for (const char* nonsense : {"", "<0.3.1>", "<0.3>", "<0.3.1>x", "<0.3.x>", "0.3.1>", "<99999999999.3.1>", "<0.3.1.2>"})
    CHECK_FALSE(marked(std::string("A=") + nonsense + (std::string(nonsense) == "<0.3.1>" ? "@42-0000000000000002" : token), token));
}

TEST_CASE("no two tokens are alike, and none is part of another", "[broker][descendants]") {
  const std::string first = fresh_token(), second = fresh_token();
  CHECK(first != second);
  CHECK(first.size() == second.size());
}

TEST_CASE("children are listed while they are not reaped, and what they have inherited can be read", "[broker][descendants][proc]") {
  sys::OwnChildren children;
  const auto is_listed = [&](pid_t pid) {
    const auto& list = children.list();
    return std::find(list.begin(), list.end(), pid) != list.end();
  };
  const int memfd = ::memfd_create("marked-by-the-test", 0);
  REQUIRE(::ftruncate(memfd, 4096) == 0);
  void* page = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE, memfd, 0);
  void* readable = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, ::memfd_create("not-a-mark", 0), 0);
  const pid_t child = ::fork();
  if (child == 0)
    for (;;) ::pause();
  CHECK(is_listed(child));
  const auto stat = sys::process_stat(child);
  REQUIRE(stat);
  CHECK(stat->parent == ::getpid());
  CHECK(stat->exit_signal == SIGCHLD);
  CHECK(stat->session == ::getsid(0));
  CHECK(stat->started_ticks > 0);
  CHECK(sys::inheritance_of(child).find("marked-by-the-test") != std::string::npos);
  CHECK(sys::inheritance_of(child).find("not-a-mark") == std::string::npos);
  CHECK(sys::inheritance_of(child).find("PATH=") != std::string::npos);
  ::kill(child, SIGKILL);
  siginfo_t info;
  REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
  CHECK(is_listed(child));
  CHECK(sys::process_stat(child)->is_zombie());
  CHECK(sys::inheritance_of(child).empty());
  ::waitpid(child, nullptr, 0);
  CHECK_FALSE(is_listed(child));
  ::munmap(page, 4096), ::munmap(readable, 4096), ::close(memfd);
}
