// What a plain program says on its notify socket.
#include "broker/notify_socket.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace muproc;
using namespace muproc::broker;

namespace {

std::vector<std::string> lines_of(std::string_view datagram) {
  std::vector<std::string> lines;
  for_each_line(datagram, [&](std::string_view key, std::string_view value) {
    lines.push_back(std::string(key) + "|" + std::string(value));
  });
  return lines;
}

void say(const std::string& address, const std::string& text) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  address.copy(to.sun_path, sizeof to.sun_path);
  to.sun_path[0] = '\0';
  sys::UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
  REQUIRE(::sendto(socket.get(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&to), size) ==
          static_cast<ssize_t>(text.size()));
}

/// From a process of its own group.
void say_as_stranger(const std::string& address, const std::string& text) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setpgid(0, 0);
    say(address, text);
    ::_exit(0);
  }
  siginfo_t info;
  ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);  // a zombie still has its group
}

}  // namespace

TEST_CASE("a datagram is lines of KEY=VALUE, and what is none is passed over", "[notify]") {
  CHECK(lines_of("READY=1") == std::vector<std::string>{"READY|1"});
  CHECK(lines_of("READY=1\nSTATUS=a=b c\n") == std::vector<std::string>{"READY|1", "STATUS|a=b c"});
  CHECK(lines_of("\n\nnonsense\n=x\nX=") == std::vector<std::string>{"|x", "X|"});
  CHECK(lines_of("").empty());
  CHECK(lines_of(std::string_view("READY=1\0", 8)).empty());
}

TEST_CASE("only the child's own process group is heard on its notify socket", "[notify]") {
  Loop loop;
  std::vector<std::string> heard;
  NotifySocket socket(loop, [&](std::string_view key, std::string_view value) {
    heard.push_back(std::string(key) + '=' + std::string(value));
  });
  CHECK(socket.address().starts_with("@"));
  say(socket.address(), "EARLY=1");  // before it is known who speaks: it waits
  socket.read_all();
  CHECK(heard.empty());
  say_as_stranger(socket.address(), "READY=1");
  say(socket.address(), "LATE=1");
  SECTION("its own process and others of its group") {
    socket.listen_to(::getpgrp());
    socket.read_all();
    CHECK(heard == std::vector<std::string>{"EARLY=1", "LATE=1"});
  }
  SECTION("but nobody else") {
    socket.listen_to(1);
    socket.read_all();
    CHECK(heard.empty());
  }
  SECTION("and a datagram that is too long is no word at all") {
    say(socket.address(), "STATUS=" + std::string(8000, 'x'));
    socket.listen_to(::getpgrp());
    socket.read_all();
    CHECK(heard == std::vector<std::string>{"EARLY=1", "LATE=1"});
  }
}
