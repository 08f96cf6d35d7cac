#include "broker/fork_server.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>

#include <muproc/detail/child.hpp>

#include "broker/cgroups.hpp"
#include "broker/exec_child.hpp"
#include "wire/suggest.hpp"
#include "sys/cgroup.hpp"
#include "sys/clock.hpp"
#include "sys/error.hpp"
#include "sys/proc.hpp"
#include "sys/process.hpp"
#include "wire/codec.hpp"

namespace muproc::broker {
namespace {

constexpr std::chrono::nanoseconds k_grace = std::chrono::seconds(3);
constexpr int k_first_private_fd = 256;

int threads_of_this_process() {
  int count = 0;
  for ([[maybe_unused]] const auto& task : std::filesystem::directory_iterator("/proc/self/task")) ++count;
  return count;
}

void reset_signals() {
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

/// Nothing that is buffered now may be written again by each child.
void flush_streams() {
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
}

/// Keeps standard input, output and error and the two named, and closes all else.
void close_all_but(int a, int b) {
  if (a > b) std::swap(a, b);
  int next = 3;
  for (const int kept : {a, b}) {
    if (kept > next) ::syscall(SYS_close_range, next, kept - 1, 0);
    next = std::max(next, kept + 1);
  }
  ::syscall(SYS_close_range, next, ~0U, 0);
}

/// What was said to the broker by its own supervisor is nobody else's.
void forget_what_was_said_to_the_broker() {
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "MUPROC_CGROUP"})
    ::unsetenv(name);
}

void read_nothing_from_the_terminal() {
  const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0) return;
  ::dup2(null, STDIN_FILENO);
  ::close(null);
}

const void* base_of(void* module) {
  link_map* map = nullptr;
  Dl_info info{};
  if (::dlinfo(module, RTLD_DI_LINKMAP, &map) != 0 || !::dladdr(map->l_ld, &info)) return nullptr;
  return info.dli_fbase;
}

void write_loaded(wire::Loaded::Builder loaded, const void* base) {
  const auto names = detail::entry_names(base);
  auto entries = loaded.initEntries(static_cast<unsigned>(names.size()));
  for (unsigned i = 0; i < names.size(); ++i) entries.set(i, wire::pointer(names[i]));
  const auto ids = detail::build_ids();
  auto build_ids = loaded.initBuildIds(static_cast<unsigned>(ids.size()));
  for (unsigned i = 0; i < ids.size(); ++i) build_ids.set(i, kj::arrayPtr(ids[i].data(), ids[i].size()));
}

std::string near_miss(const std::string& name, const std::vector<std::string>& entries) {
  const std::vector<std::string_view> candidates(entries.begin(), entries.end());
  return wire::did_you_mean(name, candidates);
}

/// A clone that lives until this returns or throws: it never comes back to what its cloner was doing.
template <class Life>
[[noreturn]] void end_as(Life life) {
  try {
    life();
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "muproc: %s\n", failure.what());
  }
  ::_exit(1);
}

std::string said_by(const std::exception& failure) { return std::string(": ") + failure.what(); }

/// Loads a module and prepares it. Returns its base, or throws with the reason.
const void* load(const std::string& module) {
  void* handle = ::dlopen(module.empty() ? nullptr : module.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) throw std::runtime_error(::dlerror());
  const void* base = base_of(handle);
  try {
    detail::run_preloads(base);
  } catch (const std::exception& failure) {
    throw std::runtime_error("MUPROC_PRELOAD of " + module + " threw" + said_by(failure));
  }
  detail::bind_for_births();
  if (const int threads = threads_of_this_process(); threads > 1)
    throw std::runtime_error((module.empty() ? "this program" : module) + " has started " + std::to_string(threads - 1) +
                             " thread(s) while it was loaded, and a process with threads cannot be cloned: "
                             "start them in the muproc, or run the code with exec");
  return base;
}

}  // namespace

SeedProcess::~SeedProcess() {
  if (!socket) return;
  ::kill(os_pid, SIGKILL);
  ::waitpid(os_pid, nullptr, __WALL);
}

int fork_server_process(const char* what) {
  flush_streams();
  return sys::check(threads_of_this_process() == 1 ? sys::clone_unseen() : ::fork(), "fork", what);
}

void become_server(const char* name, int socket, int lock) {
  ::setsid();
  reset_signals();
  ::prctl(PR_SET_NAME, name);
  close_all_but(socket, lock);
  forget_what_was_said_to_the_broker();
  read_nothing_from_the_terminal();
}

SeedProcess fork_seed(int lock, rlimit files, const std::string& token, const std::string& cgroup) {
  auto [ours, seeds] = sys::socket_pair();
  const int broker = ::getpid();
  const int os_pid = fork_server_process("the seed");
  if (os_pid) return {os_pid, std::move(ours)};

  become_server("muproc-seed", seeds.get(), lock);
  ours.release();  // closed above
  try {
    sys::UniqueFd pidfd = sys::open_pidfd(broker);
    if (::getppid() != broker) ::_exit(0);
    ForkServer(std::move(seeds), sys::UniqueFd(lock), std::move(pidfd), broker, files, token, cgroup).serve();
  } catch (const std::exception& failure) {
    if (::getppid() == broker) std::fprintf(stderr, "muproc seed: %s\n", failure.what());
  }
  ::_exit(1);
}

ForkServer::ForkServer(sys::UniqueFd socket, sys::UniqueFd lock, sys::UniqueFd broker_pidfd, int broker, rlimit files, std::string token,
                       std::string cgroup)
    : socket_(std::move(socket)),
      lock_(std::move(lock)),
      broker_pidfd_(std::move(broker_pidfd)),
      broker_(broker),
      files_(files),
      token_(std::move(token)),
      cgroup_(std::move(cgroup)),
      private_fds_(k_first_private_fd) {
  sys::set_nonblocking(socket_.fd(), true);
}

void ForkServer::serve() {
  for (;;) {
    while (auto frame = socket_.receive()) handle(*frame);
    if (socket_.closed() || !wait_for_news()) clean_house();
  }
}

/// False when the broker has ended.
bool ForkServer::wait_for_news() {
  const bool is_waiting = socket_.bytes_waiting() > 0, is_starved = is_waiting && socket_.is_starved();
  const short socket_events = is_waiting && !is_starved ? POLLIN | POLLOUT : POLLIN;
  pollfd fds[2] = {{socket_.fd(), socket_events, 0}, {broker_pidfd_.get(), POLLIN, 0}};
  if (::poll(fds, 2, is_starved ? wire::FrameSocket::k_starved_ms : -1) < 0) return true;
  if (is_starved || (fds[0].revents & POLLOUT)) socket_.flush();
  return fds[1].revents == 0;
}

void ForkServer::handle(wire::Frame& frame) {
  const auto request = frame.as<wire::ToZygote>();
  const Id id = request.getId();
  try {
    switch (request.which()) {
      case wire::ToZygote::CLONE_ZYGOTE: return clone_zygote(id, frame, wire::string(request.getCloneZygote()));
      case wire::ToZygote::CLONE_ENTRY:
      case wire::ToZygote::CLONE_FUNCTION: return clone_muproc(id, frame, request);
      case wire::ToZygote::CLONE_EXEC: return clone_exec(id, frame, request);
    }
  } catch (const std::exception& failure) {
    reply_failed(id, failure.what());
  }
}

void ForkServer::clone_zygote(Id id, wire::Frame& frame, std::string module) {
  frame.expect_fds(1);
  sys::UniqueFd socket = std::move(frame.fds()[0]);
  const int os_pid = sys::check(sys::clone_sibling(), "clone3", "a zygote");
  if (os_pid == 0) end_as([&] { become_zygote(std::move(socket), module); });
  reply_cloned(id, os_pid);
}

void ForkServer::become_zygote(sys::UniqueFd socket, const std::string& module) {
  ::setpgid(0, 0);
  sys::set_parent_death_signal(SIGKILL);  // while foreign code is loaded nobody looks at the broker
  if (::getppid() != broker_) ::_exit(0);
  ::prctl(PR_SET_NAME, "muproc-zygote");
  socket_ = wire::FrameSocket();
  children_.clear();
  module_ = module;

  capnp::MallocMessageBuilder message;
  auto loaded = message.initRoot<wire::FromZygote>().initLoaded();
  std::string failure;
  try {
    module_base_ = load(module);
    if (module.empty()) module_base_ = nullptr;  // all that is in the image
    write_loaded(loaded, module_base_);
  } catch (const std::exception& error) {
    failure = error.what();
    loaded.setError(wire::pointer(failure));
  }
  flush_streams();
  reset_signals();
  socket_ = wire::FrameSocket(std::move(socket));
  try {
    if (failure.empty()) move_descriptors_up();
  } catch (const std::exception& error) {
    failure = error.what();
    loaded.setError(wire::pointer(failure));
  }
  socket_.send(message);  // blocking, still: it is the first word
  if (!failure.empty()) ::_exit(1);
  sys::set_nonblocking(socket_.fd(), true);
  sys::set_parent_death_signal(0);  // from here on this process is the one who cleans up
  if (::getppid() != broker_) clean_house();
  serve();
}

/// Puts the server's own descriptors above all that the module has opened, which its children are to inherit.
void ForkServer::move_descriptors_up() {
  int highest = 0;
  for (const auto& fd : std::filesystem::directory_iterator("/proc/self/fd"))
    highest = std::max(highest, std::stoi(fd.path().filename().string()));
  private_fds_ = std::max(k_first_private_fd, (highest / 64 + 1) * 64);
  const auto moved_up = [this](int fd) {
    return sys::UniqueFd(sys::check(::fcntl(fd, F_DUPFD_CLOEXEC, private_fds_), "fcntl F_DUPFD_CLOEXEC"));
  };
  lock_ = moved_up(lock_.get());
  broker_pidfd_ = moved_up(broker_pidfd_.get());
  socket_ = wire::FrameSocket(moved_up(socket_.fd()));
}

void ForkServer::clone_muproc(Id id, wire::Frame& frame, wire::ToZygote::Reader request) {
  frame.expect_fds(request.getOutput() ? 3 : 1);
  const auto in_module = [&] { return module_.empty() ? std::string("the broker's own program") : module_; };
  detail::EntryFunction function = nullptr;
  if (request.isCloneEntry()) {
    const std::string name = wire::string(request.getCloneEntry());
    function = detail::find_entry(name, module_base_);
    if (!function) function = detail::find_entry(name);  // in a library that the module brought along
    if (!function)
      throw std::runtime_error("no entry \"" + name + "\" in " + in_module() + near_miss(name, detail::entry_names()));
  } else {
    const auto build_id = request.getBuildId();
    const void* address = detail::resolve(build_id.begin(), build_id.size(), request.getCloneFunction());
    function = reinterpret_cast<detail::EntryFunction>(const_cast<void*>(address));
    if (!function) throw std::runtime_error("no such function in " + in_module());
  }
  sys::UniqueFd control = std::move(frame.fds()[0]);
  const int out = request.getOutput() ? frame.fds()[1].get() : -1;
  const int err = request.getOutput() ? frame.fds()[2].get() : -1;
  const int os_pid = clone_in(request.getCgroup(), "a muproc");
  if (os_pid == 0) end_as([&] { become_muproc(std::move(control), out, err, function); });
  frame.fds().clear();  // the output's last copies are now the child's
  reply_cloned(id, os_pid);
  remember(os_pid);
}

void ForkServer::become_muproc(sys::UniqueFd control, int out, int err, detail::EntryFunction function) {
  ::setpgid(0, 0);
  sys::set_parent_death_signal(SIGKILL);  // until the runtime sets its own
  if (::getppid() != broker_) ::_exit(0);
  if (out >= 0) {
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    ::close(out);
    ::close(err);
  }
  drop_what_is_the_servers();
  ::setrlimit(RLIMIT_NOFILE, &files_);
  detail::run_child(control.release(), function);
}

void ForkServer::drop_what_is_the_servers() {
  socket_ = wire::FrameSocket();  // with the descriptors of requests that wait in it
  ::syscall(SYS_close_range, private_fds_, ~0U, 0);
}

/// 0 in the clone.
int ForkServer::clone_in(capnp::Text::Reader cgroup, const char* what) {
  const sys::UniqueFd group = cgroup.size() > 0 ? sys::open_cgroup(wire::string(cgroup)) : sys::UniqueFd();
  return sys::check(sys::clone_sibling(group.get()), "clone3", what);
}

void ForkServer::clone_exec(Id id, wire::Frame& frame, wire::ToZygote::Reader request) {
  const auto spec = request.getCloneExec();
  const bool has_output = request.getOutput();
  const std::size_t own = spec.getPlain() ? 1 : 2;
  frame.expect_fds(has_output ? own + 2 : own);
  const int status = frame.fds()[0].get();
  const int control = spec.getPlain() ? -1 : frame.fds()[1].get();
  const int out = has_output ? frame.fds()[own].get() : -1;
  const int err = has_output ? frame.fds()[own + 1].get() : -1;
  const ExecChild child(spec, {status, control, out, err}, files_);
  const int os_pid = clone_in(request.getCgroup(), "a child that execs");
  if (os_pid == 0) child.run(broker_);
  frame.fds().clear();  // their last copies are now the child's
  reply_cloned(id, os_pid);
  remember(os_pid);
}

void ForkServer::reply_cloned(Id id, int os_pid) {
  capnp::MallocMessageBuilder message(32);
  auto reply = message.initRoot<wire::FromZygote>();
  reply.setId(id);
  reply.setCloned(os_pid);
  socket_.send(message);
}

void ForkServer::reply_failed(Id id, const std::string& why) {
  capnp::MallocMessageBuilder message;
  auto reply = message.initRoot<wire::FromZygote>();
  reply.setId(id);
  reply.setFailed(wire::pointer(why));
  socket_.send(message);
}

// ---- the broker's death ----------------------------------------------------------------------------------------------

void ForkServer::remember(int os_pid) {
  if (children_.size() >= prune_at_) forget_the_dead();
  try {
    const sys::UniqueFd low = sys::open_pidfd(os_pid);
    const int high = ::fcntl(low.get(), F_DUPFD_CLOEXEC, private_fds_);
    if (high >= 0) children_.push_back({os_pid, sys::UniqueFd(high)});
  } catch (const std::exception&) {
    // It has ended already, and the broker has reaped it. Or no descriptor is left: then the broker's death ends it by the
    // signal of that, or by its mark.
  }
}

/// Only now and then, so that a death wakes nobody here. What a dead one leaves in its group is the broker's to kill.
void ForkServer::forget_the_dead() {
  std::vector<pollfd> fds;
  for (const auto& child : children_) fds.push_back({child.pidfd.get(), POLLIN, 0});
  ::poll(fds.data(), fds.size(), 0);
  std::vector<Child> alive;
  for (std::size_t i = 0; i < fds.size(); ++i)
    if (!fds[i].revents) alive.push_back(std::move(children_[i]));
  children_ = std::move(alive);
  prune_at_ = std::max<std::size_t>(32, 2 * children_.size());
}

void ForkServer::clean_house() {
  socket_.close();
  const auto deadline = sys::monotonic() + k_grace;
  bool killed = false;
  while (!children_.empty()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - sys::monotonic());
    if (left.count() <= 0 && !killed) {
      killed = true;
      for (const auto& child : children_) {
        ::kill(-child.os_pid, SIGKILL);
        sys::send_signal(child.pidfd.get(), SIGKILL);
      }
    }
    std::vector<pollfd> fds;
    for (const auto& child : children_) fds.push_back({child.pidfd.get(), POLLIN, 0});
    ::poll(fds.data(), fds.size(), killed ? -1 : static_cast<int>(left.count()));
    std::vector<Child> alive;
    for (std::size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents)
        ::kill(-children_[i].os_pid, SIGKILL);  // what it has left behind in its group
      else
        alive.push_back(std::move(children_[i]));
    }
    children_ = std::move(alive);
  }
  end_marked();
  end_groups(cgroup_);
  ::_exit(0);
}

/// What muprocs have left outside of their process groups is no child of ours; it is known by its mark. Others' muprocs have
/// the mark too, and a grace of their own to end in: only who is still there after it is killed. One that forks on and on is
/// met again and again; after a while it is too clever for us.
void ForkServer::end_marked() {
  const auto grace_is_over = sys::monotonic() + k_grace;
  for (;;) {
    bool found = false;
    const auto now = sys::monotonic();
    for (const int os_pid : sys::all_processes()) {
      if (sys::inheritance_of(os_pid).find(token_) == std::string::npos) continue;
      found = true;
      if (now < grace_is_over) continue;
      try {
        const sys::UniqueFd pidfd = sys::open_pidfd(os_pid);
        // Once more: now it is the pidfd's process that is read, or the signal goes nowhere.
        if (sys::inheritance_of(os_pid).find(token_) != std::string::npos) sys::send_signal(pidfd.get(), SIGKILL);
      } catch (const std::exception&) {
        // gone
      }
    }
    if (!found || now >= grace_is_over + k_grace) return;
    ::poll(nullptr, 0, 20);
  }
}

}  // namespace muproc::broker
