#include "bench/pair.hpp"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

namespace muproc::bench {
namespace {

constexpr unsigned k_patience = 60;  // seconds

pid_t run_on(unsigned core, const std::function<void()>& function) {
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGALRM, SIG_DFL);
  ::alarm(k_patience);  // the other side may have failed, and would be waited for for ever
  try {
    pin(core);
    function();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mubench: %s\n", error.what());
    ::_exit(1);
  }
  ::_exit(0);
}

void write_all(int fd, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t count = ::write(fd, text.data() + done, text.size() - done);
    if (count <= 0) throw std::runtime_error("cannot tell what was measured");
    done += static_cast<std::size_t>(count);
  }
}

std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t count; (count = ::read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(count));
  return text;
}

}  // namespace

Histogram between_two(Cores cores, const std::function<void()>& serve, const std::function<Histogram()>& play) {
  int pipe[2];
  if (::pipe(pipe) != 0) throw std::runtime_error("cannot make a pipe");
  const pid_t server = run_on(cores.second, [&] {
    ::close(pipe[0]);
    ::close(pipe[1]);
    serve();
  });
  const pid_t player = run_on(cores.first, [&] { write_all(pipe[1], play().text()); });
  ::close(pipe[1]);
  const std::string told = read_all(pipe[0]);
  ::close(pipe[0]);
  int status = 0;
  ::waitpid(player, &status, 0);
  ::kill(server, SIGKILL);
  ::waitpid(server, nullptr, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error("one of two processes that measured ended too early");
  return Histogram::parse(told);
}

void Unmap::operator()(void* memory) const { ::munmap(memory, size); }

SharedMemory shared_memory(std::size_t size) {
  void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("cannot map memory that two processes share");
  return {memory, Unmap{size}};
}

}  // namespace muproc::bench
