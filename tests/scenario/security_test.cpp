// What a system's neighbours cannot do to it, and its own muprocs not to it or to each other: docs/security.md.
#include <capnp/serialize.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "shm/layout.hpp"
#include "support/catch.hpp"
#include "support/child_process.hpp"
#include "support/files.hpp"
#include "support/paths.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"
#include "support/system_fixture.hpp"
#include "wire/codec.hpp"
#include "wire/control.capnp.h"
#include "wire/control_socket.hpp"
#include "wire/frame.hpp"

using namespace muproc;
using namespace muproc::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

extern char** environ;

namespace {

void waits(Self& self) {
  self.receive(on<"end">() >> [] {});
}

// ---- another user --------------------------------------------------------------------------------------------------------

constexpr uid_t k_other = 65534;

bool become_another_user() {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(k_other, k_other, k_other) == 0 &&
         ::setresuid(k_other, k_other, k_other) == 0;
}

bool can_be_another_user() {
  if (::geteuid() == 0) return true;
  WARN("only root can be another user as well: skipped");
  return false;
}

/// The number of the attempt that did not fail as it should; 0: all did.
template <class... Attempts>
int first_that_succeeds(Attempts&&... attempts) {
  int number = 0, found = 0;
  ((++number, found = found == 0 && !attempts() ? number : found), ...);
  return found;
}

int connect_to(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

// ---- the control protocol by hand ----------------------------------------------------------------------------------------

/// This muproc's own control socket, which the runtime keeps to itself: the one whose other end the broker made.
int own_control_socket() {
  for (int fd = 3; fd < 1024; ++fd) {
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) continue;
    ucred peer{};
    size = sizeof peer;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == ::getppid()) return fd;
  }
  return -1;
}

/// What the broker answers to a request that was made without the runtime; "" when it was done.
template <class Fill>
std::string answer_to(Fill&& fill) {
  constexpr std::uint64_t k_id = 0x7fff'ffff'0000'0001;
  wire::FrameSocket socket(sys::duplicate(own_control_socket()));
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<wire::ToBroker>();
  request.setId(k_id);
  fill(request);
  socket.send(message);
  for (;;) {
    auto frame = socket.receive();
    if (!frame) {
      pollfd readable{socket.fd(), POLLIN, 0};
      MUST(!socket.closed() && ::poll(&readable, 1, 30'000) == 1);
      continue;
    }
    const auto reply = frame->as<wire::FromBroker>();
    if (reply.getId() != k_id) continue;
    if (!reply.isError()) return {};
    MUST(reply.getError().getKind() == wire::Error::Kind::PERMISSION);
    return wire::string(reply.getError().getText());
  }
}

// ---- what a child has ----------------------------------------------------------------------------------------------------

/// What each descriptor leads to.
List descriptors_of(int os_pid) {
  List found;
  for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(os_pid) + "/fd")) {
    std::error_code gone;
    const auto target = fs::read_symlink(entry.path(), gone);
    if (!gone) found.push_back(target.native());
  }
  return found;
}

/// While it lives the broker that is begun has these in its environment.
class SaidToTheBroker {
 public:
  SaidToTheBroker() {
    for (const auto& [name, value] : k_variables) ::setenv(name, value, 1);
  }
  ~SaidToTheBroker() {
    for (const auto& [name, value] : k_variables) ::unsetenv(name);
  }
  static constexpr std::pair<const char*, const char*> k_variables[] = {
      {"LISTEN_FDS", "1"},           {"LISTEN_PID", "1"},          {"LISTEN_FDNAMES", "web"},
      {"NOTIFY_SOCKET", "/nowhere"}, {"WATCHDOG_USEC", "1000000"}, {"WATCHDOG_PID", "1"}};
};

std::size_t resident_kib(int os_pid) {
  std::ifstream status("/proc/" + std::to_string(os_pid) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::stoul(line.substr(6));
  return 0;
}

}  // namespace

// ---- another user --------------------------------------------------------------------------------------------------------

TEST_CASE("another user's process cannot connect to a system, nor open or map what is its, nor signal it",
          "[security]") {
  if (!can_be_another_user()) return;
  LiveSystem system;
  const Pid muproc = system.self().spawn("x", waits);
  const std::string folder = system.folder().string();
  const pid_t broker = system.broker().os_pid(), child = os_pid_of(system.self(), muproc);
  const auto cannot_open = [](const std::string& path, int flags) {
    return [=] { return ::open(path.c_str(), flags) < 0; };
  };
  const std::string fate = fate_of([&] {
    if (!become_another_user()) return 100;
    return first_that_succeeds(
        [&] { return connect_to(folder + "/control.sock") < 0; }, cannot_open(folder, O_RDONLY | O_DIRECTORY),
        cannot_open(folder + "/lock", O_RDONLY),
        cannot_open("/proc/" + std::to_string(broker) + "/fd", O_RDONLY | O_DIRECTORY),
        cannot_open("/proc/" + std::to_string(child) + "/mem", O_RDONLY),
        cannot_open("/proc/" + std::to_string(child) + "/maps", O_RDONLY),
        [&] {  // memory of the system, by any descriptor of the broker
          for (int fd = 0; fd < 256; ++fd)
            if (::open(("/proc/" + std::to_string(broker) + "/fd/" + std::to_string(fd)).c_str(), O_RDONLY) >= 0)
              return false;
          return true;
        },
        [&] { return ::kill(broker, SIGTERM) < 0 && errno == EPERM; },
        [&] { return ::kill(child, SIGKILL) < 0 && errno == EPERM; },
        [&] { return ::syscall(SYS_pidfd_getfd, static_cast<int>(::syscall(SYS_pidfd_open, broker, 0)), 3, 0) < 0; });
  });
  CHECK(fate == "exit 0");
  CHECK(system.self().alive(muproc));
}

TEST_CASE("another user who gets as far as the socket is not let in", "[security]") {
  if (!can_be_another_user()) return;
  LiveSystem system;
  const fs::path folder = system.folder();
  // As by an administrator's mistake.
  fs::permissions(folder, fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
  fs::permissions(folder / "control.sock", fs::perms::all);
  const std::string fate = fate_of([&] {
    if (::chdir(folder.c_str()) != 0 || !become_another_user()) return 100;
    const int fd = connect_to("control.sock");
    if (fd < 0) return 101;
    char byte;
    return ::read(fd, &byte, 1) <= 0 ? 0 : 102;
  });
  CHECK(fate == "exit 0");
  system.broker().wait_for_output("of user " + std::to_string(k_other) + " is not let in");
}

TEST_CASE("a muproc with a user of its own reads what it was given, and cannot reach the system in another way",
          "[security]") {
  if (!can_be_another_user()) return;
  LiveSystem system;
  Self& self = system.self();
  ChildOptions options{.restart = temporary};
  options.user = std::to_string(k_other);
  options.args = {{"socket", (system.folder() / "control.sock").string()}};
  const auto tries = +[](Self& self) {
    MUST(::geteuid() == k_other);
    MUST(connect_to(self.args()["socket"].as<std::string>()) < 0);
    MUST(::kill(::getppid(), 0) < 0 && errno == EPERM);
    MUST(::open(("/proc/" + std::to_string(::getppid()) + "/mem").c_str(), O_RDWR) < 0);
    self.send("tester", "tried", true);
    waits(self);
  };
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"x", tries, options}}));
  CHECK(next<bool, "tried">(self));
}

// ---- the protocol by hand ------------------------------------------------------------------------------------------------

TEST_CASE("the broker refuses what the config does not allow, whoever speaks the protocol", "[security][rights]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid stranger = self.spawn("stranger", waits);
  ChildOptions options{.restart = temporary};
  const fs::path file = runtime_dir() / "answers";
  options.may_send = {"tester"};
  options.may_control = false;
  options.args = {{"stranger", static_cast<std::int64_t>(stranger.bits())}, {"file", file.string()}};
  const auto by_hand = +[](Self& self) {
    const auto stranger = static_cast<std::uint64_t>(self.args()["stranger"].as<std::int64_t>());
    const std::string file = self.args()["file"].as<std::string>();
    std::ofstream answers(file + ".new");
    const auto ask = [&](auto&& fill) { answers << answer_to(fill) << '\n'; };
    ask([&](auto request) { request.setKill(stranger); });
    ask([&](auto request) { request.initExit().setTarget(stranger); });
    ask([&](auto request) { request.initLink().setPeer(stranger); });
    ask([&](auto request) { request.initSpawn().initChild().setName("child"); });
    ask([&](auto request) { request.initStartSupervisor().setName("s"); });
    ask([&](auto request) { request.initStartChild().initSupervisor().setName("sup"); });
    ask([&](auto request) { request.initChildVerb().setName("stranger"); });
    ask([&](auto request) { request.initDrain().setName("stranger"); });
    ask([&](auto request) { request.initReload().setFile("/other.toml"); });
    ask([&](auto request) { request.setShutdown(); });
    ask([&](auto request) {
      auto channel = request.initOpenChannel();
      channel.setReceiver(stranger);
      channel.setRingOffset(shm::k_arena_offset - shm::k_default_ring);
      channel.setRingSize(shm::k_default_ring);
    });
    answers.close();
    fs::rename(file + ".new", file);
    for (;;) ::pause();  // the runtime misses the frames that were read here
  };
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"x", by_hand, options}}));
  wait_until("the answers", [&] { return fs::exists(file); });
  std::string expected;
  for (int i = 0; i < 10; ++i) expected += "x may not control others: its may_control is false\n";
  CHECK(contents(file) == expected + "x may not send to stranger: its may_send names tester\n");
  CHECK(self.alive(stranger));
  self.kill(self.find("x"));
}

TEST_CASE("who asks and never reads is shut out, and the broker has not grown without end", "[security]") {
  if (!k_memory_is_ours) return;
  LiveSystem system;
  Self& self = system.self();
  // An answer that is much longer than the question.
  self.spawn("talkative", exec_plain({"/bin/sh", "-c", "exec sleep 1000 # " + std::string(100'000, '.')}));
  const pid_t broker = system.broker().os_pid();
  const std::size_t before = resident_kib(broker);
  sys::UniqueFd socket(connect_to((system.folder() / "control.sock").string()));
  REQUIRE(socket);
  wire::FrameSocket greedy(std::move(socket));
  capnp::MallocMessageBuilder hello;
  hello.initRoot<wire::ToBroker>().initAttach().setLayoutVersion(shm::k_layout_version);
  greedy.send(hello);
  capnp::MallocMessageBuilder question;
  auto request = question.initRoot<wire::ToBroker>();
  request.setId(1);
  request.setDescribe("talkative");
  sys::set_nonblocking(greedy.fd(), true);
  std::size_t most = 0;
  int asked = 0;
  wait_until("to be shut out", [&] {
    for (int i = 0; i < 100 && greedy.bytes_waiting() == 0; ++i, ++asked) greedy.send(question);
    greedy.flush();
    most = std::max(most, resident_kib(broker));
    pollfd peer{greedy.fd(), 0, 0};
    return ::poll(&peer, 1, 0) == 1 && (peer.revents & (POLLHUP | POLLERR)) != 0;
  });
  INFO(asked << " questions, from " << before << " to " << most << " KiB");
  CHECK(most - before < 400 * 1024);
  system.broker().wait_for_output("it does not read");
  CHECK(self.find("talkative"));  // others are served
  self.kill(self.find("talkative"));
}

TEST_CASE("whatever a tool or an outsider says, the broker serves on", "[security][hostile]") {
  LiveSystem system;
  Self& self = system.self();
  const Pid other = self.spawn("other", waits);
  Random random;
  INFO(random.how_to_repeat());
  using Fill = void (*)(wire::ToBroker::Builder, Pid);
  constexpr Fill k_requests[] = {
      [](wire::ToBroker::Builder r, Pid) { r.initAttach().setMailbox(true); },
      [](wire::ToBroker::Builder r, Pid) { r.initHello().setLayoutVersion(shm::k_layout_version); },
      [](wire::ToBroker::Builder r, Pid) { wire::write(r.initExiting(), Reason::exit(Value(List{1, "two"}))); },
      [](wire::ToBroker::Builder r, Pid other) { wire::write(r.initExit().initReason(), Reason::linked("x", other, Reason::killed())); },
      [](wire::ToBroker::Builder r, Pid other) { r.initMonitor().setPid(other.bits()); },
      [](wire::ToBroker::Builder r, Pid other) { r.initOpenChannel().setReceiver(other.bits()); },
      [](wire::ToBroker::Builder r, Pid) { r.initCorruptRecord().setWhat("nonsense"); },
      [](wire::ToBroker::Builder r, Pid) { r.setNewExtent(1 << 20); },
      [](wire::ToBroker::Builder r, Pid other) { r.initGetExtent().setOwner(other.bits()); },
      [](wire::ToBroker::Builder r, Pid) { r.setRegisterPort("port"); },
      [](wire::ToBroker::Builder r, Pid) { r.setDescribe("other"); },
      [](wire::ToBroker::Builder r, Pid) { r.initEvents().setNumber(1); },
      [](wire::ToBroker::Builder r, Pid) { r.setNewSender(); },
      [](wire::ToBroker::Builder r, Pid) { r.initWhichChildren().setName("root"); },
      [](wire::ToBroker::Builder r, Pid) { r.setDeadLetters(7); },
  };
  // These end the system or somebody else, or start what they name, when they are right by chance.
  const auto may_be_sent = [](const std::vector<capnp::word>& words) {
    try {
      capnp::FlatArrayMessageReader reader(kj::arrayPtr(words.data(), words.size()));
      switch (reader.getRoot<wire::ToBroker>().which()) {
        case wire::ToBroker::SHUTDOWN:
        case wire::ToBroker::RELOAD:
        case wire::ToBroker::KILL:
        case wire::ToBroker::LINK:
        case wire::ToBroker::SPAWN:
        case wire::ToBroker::START_CHILD:
        case wire::ToBroker::START_SUPERVISOR:
        case wire::ToBroker::CHILD_VERB: return false;
        default: return true;
      }
    } catch (const kj::Exception&) {
      return true;
    }
  };
  for (int round = 0; round < 150; ++round) {
    const sys::UniqueFd socket(connect_to((system.folder() / "control.sock").string()));
    REQUIRE(socket);
    for (int i = 0; i < 8; ++i) {
      capnp::MallocMessageBuilder message;
      auto request = message.initRoot<wire::ToBroker>();
      request.setId(random.below(4));
      k_requests[i == 0 && random.one_in(2) ? 0 : random.below(std::size(k_requests))](request, other);
      const auto flat = capnp::messageToFlatArray(message);
      std::vector<capnp::word> words(flat.begin(), flat.end());
      for (std::uint64_t n = random.below(4); n > 0; --n) {
        auto* bytes = reinterpret_cast<unsigned char*>(words.data());
        bytes[random.below(words.size() * 8)] = static_cast<unsigned char>(random.one_in(2) ? random.bits() : 1 << random.below(8));
      }
      if (!may_be_sent(words)) continue;
      const wire::FrameHeader header{wire::k_frame_magic, 0, words.size()};
      if (::send(socket.get(), &header, sizeof header, MSG_NOSIGNAL) < 0 || ::send(socket.get(), words.data(), words.size() * 8, MSG_NOSIGNAL) < 0)
        break;  // it has heard enough
    }
  }
  CHECK(self.alive(other));
  CHECK(self.find("other") == other);
  self.send(other, "end", true);
}

// ---- what a child has ----------------------------------------------------------------------------------------------------

TEST_CASE("a child has the descriptors that it was given, and no other", "[security][descriptors]") {
  const sys::UniqueFd secret(::open("/etc/hostname", O_RDONLY));  // not close-on-exec, as careless programs have them
  REQUIRE(secret);
  LiveSystem system;
  Self& self = system.self();
  const Pid cloned = self.spawn("cloned", waits);
  const Pid plain = self.spawn("plain", exec_plain({"/bin/sleep", "1000"}));
  const Pid execed = self.spawn("execed", exec({bin_dir() + "/decoder"}));
  const auto is_one_of = [](const Value& target, std::initializer_list<const char*> known) {
    const std::string text = target.as<std::string>();
    return std::any_of(known.begin(), known.end(), [&](const char* one) { return text.starts_with(one); });
  };
  const std::string output = fs::read_symlink("/proc/" + std::to_string(system.broker().os_pid()) + "/fd/1");

  // Standard input, output and error.
  const List of_plain = descriptors_of(os_pid_of(self, plain));
  CHECK(of_plain.size() == 3);
  for (const Value& target : of_plain) CHECK(is_one_of(target, {"/dev/null", output.c_str()}));
  // And the control socket, its eventfd and those of whom it talks to.
  for (const Pid pid : {cloned, execed}) {
    system.wait_until_idle(pid);  // it has mapped and closed what came with its kit
    for (const Value& target : descriptors_of(os_pid_of(self, pid))) {
      INFO(to_string(target));
      CHECK(is_one_of(target, {"/dev/null", output.c_str(), "socket:", "anon_inode:[eventfd]"}));
    }
  }
  self.kill(plain);
  self.kill(execed);
}

TEST_CASE("a child has the broker's environment and what it was given, without what was said to the broker alone",
          "[security][environment]") {
  const SaidToTheBroker said;
  LiveSystem system;
  Self& self = system.self();
  ChildOptions options{.restart = temporary};
  options.env = {{"GIVEN", "to the child"}};
  const auto tells = +[](Self& self) {
    Mumsg variables;
    for (char** at = environ; *at; ++at)
      if (const char* equals = std::strchr(*at, '='))
        variables.set(std::string(*at, static_cast<std::size_t>(equals - *at)), std::string(equals + 1));
    self.send("tester", "environment", variables);
    waits(self);
  };
  self.start_supervisor("sup", supervisor(one_for_one, {}, {{"x", tells, options}}));
  const Mumsg cloned = next<Mumsg, "environment">(self);

  ChildOptions plain = options;
  const fs::path file = runtime_dir() / "environment";
  self.start_supervisor(
      "sup-2",
      supervisor(one_for_one, {},
                 {{"y",
                   exec_plain({"/bin/sh", "-c",
                               "env > " + file.string() + ".new; mv " + file.string() + ".new " + file.string()}),
                   plain}}));
  wait_until("its environment", [&] { return fs::exists(file); });
  Mumsg execed;
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);)
    if (const auto equals = line.find('='); equals != line.npos)
      execed.set(line.substr(0, equals), line.substr(equals + 1));

  std::set<std::string> ours;
  for (char** at = environ; *at; ++at)
    if (const char* equals = std::strchr(*at, '=')) ours.emplace(*at, static_cast<std::size_t>(equals - *at));
  for (const Mumsg* child : {&cloned, &std::as_const(execed)}) {
    CHECK((*child)["GIVEN"] == Value("to the child"));
    for (const auto& [name, value] : *child) {
      INFO(name);
      const std::string_view text(name);
      const bool is_ours = ours.contains(std::string(text)) || text == "GIVEN" || text.starts_with("MUPROC_") ||
                           text == "_" || text == "PWD" || text == "SHLVL" || text == "OLDPWD";
      CHECK(is_ours);
      for (const auto& [secret, told] : SaidToTheBroker::k_variables) CHECK(text != secret);
    }
  }
}
