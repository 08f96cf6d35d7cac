#include <muproc/testing.hpp>

#include <muproc/detail/names.hpp>

#include <sys/socket.h>
#include <sys/time.h>

#include <csignal>
#include <cstdlib>

#include "wire/codec.hpp"
#include "wire/control.capnp.h"
#include "wire/control_socket.hpp"
#include "wire/frame.hpp"
#include "wire/version.hpp"

namespace muproc::test {
namespace {

std::string fresh_name() {
  static unsigned count = 0;
  return "test-" + std::to_string(++count);
}

std::string text_of(Address who) { return who.is_name() ? std::string(who.name()) : to_string(who.pid()); }

}  // namespace

// ---- messages --------------------------------------------------------------------------------------------------------

void must_have_been(const char* file, int line, const char* condition) {
  throw std::runtime_error(std::filesystem::path(file).filename().string() + ':' + std::to_string(line) + ": " + condition);
}

Reason reason_of(Self& self, Ref monitor) {
  std::optional<Reason> reason;
  self.receive(on<"terminated", "reason", "ref">(anything, anything, is(static_cast<std::int64_t>(monitor.bits))) >>
                   [&](Value, Reason why) { reason = std::move(why); },
               or_fail("the notice of a monitor"));
  return *std::move(reason);
}

Reason reason_of(Self& self, Pid ended) {
  std::optional<Reason> reason;
  self.receive(on<"terminated", "reason">(is(ended), anything) >> [&](Value, Reason why) { reason = std::move(why); },
               or_fail("the notice of the end of " + to_string(ended)));
  return *std::move(reason);
}

Reason play(Self& self, const char* name, Function function, SpawnOptions options) {
  const auto [pid, ref] = self.spawn_monitor(name, function, std::move(options));
  return reason_of(self, ref);
}

// ---- where it lives --------------------------------------------------------------------------------------------------

/// $MUPROC_RUNTIME_DIR, or a folder that goes with this object.
struct TestSystem::Folder {
  Folder() {
    if (const char* given = std::getenv(muproc::detail::k_runtime_dir_variable)) {
      path = given;
      return;
    }
    std::string made = (std::filesystem::temp_directory_path() / "muproc-test-XXXXXX").string();
    if (::mkdtemp(made.data()) == nullptr) throw Failed("no temporary folder can be made: " + made);
    path = made;
    is_own = true;
  }
  ~Folder() {
    std::error_code ignored;
    if (is_own) std::filesystem::remove_all(path, ignored);
  }
  std::filesystem::path path;
  bool is_own = false;
};

/// The test as a tool: what a muproc cannot ask the broker.
struct TestSystem::Client {
  explicit Client(const std::filesystem::path& folder) : socket(wire::connect_control(folder)) {
    const timeval limit{k_patience.count(), 0};
    ::setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ask("to be let in as a tool", [](wire::ToBroker::Builder request) {
      auto attach = request.initAttach();
      attach.setLayoutVersion(wire::k_layout_version);
      attach.setLibraryVersion(wire::k_library_version);
      attach.setMailbox(false);
    });
  }

  wire::Frame ask(const char* what, const std::function<void(wire::ToBroker::Builder)>& fill) {
    capnp::MallocMessageBuilder message;
    auto request = message.initRoot<wire::ToBroker>();
    request.setId(++last_id);
    fill(request);
    socket.send(message);
    for (;;) {
      auto frame = socket.receive();
      if (!frame) {
        if (socket.closed()) throw Failed(std::string("the broker has gone; it was asked ") + what);
        waited_in_vain(std::string("the broker, which was asked ") + what);
      }
      const auto reply = frame->as<wire::FromBroker>();
      if (reply.getId() != last_id) continue;
      if (reply.isError()) throw Error(wire::string(reply.getError().getText()));
      if (reply.isRefused()) throw Error(wire::string(reply.getRefused()));
      return std::move(*frame);
    }
  }

  wire::FrameSocket socket;
  std::uint64_t last_id = 0;
};

// ---- life ------------------------------------------------------------------------------------------------------------

TestSystem::TestSystem(TestOptions options) {
  launch([](SystemOptions how) { return std::make_unique<System>(fresh_name(), std::move(how)); }, std::move(options));
}

TestSystem::TestSystem(Supervisor root, TestOptions options) {
  launch([&](SystemOptions how) { return std::make_unique<System>(fresh_name(), std::move(root), std::move(how)); }, std::move(options));
}

TestSystem::TestSystem(const std::filesystem::path& config, TestOptions options) {
  launch([&](SystemOptions how) { return std::make_unique<System>(config, std::move(how)); }, std::move(options));
}

void TestSystem::launch(const std::function<std::unique_ptr<System>(SystemOptions)>& make, TestOptions options) {
  folder_ = std::make_unique<Folder>();
  SystemOptions how;
  how.runtime_dir = folder_->path;
  how.module_dir = options.module_dir;
  how.virtual_time = options.virtual_time;
  how.capture_output = options.capture_output;
  how.log = options.log;
  // Made here, so that what is wrong with it is the test's exception, and run in a process of its own.
  const std::unique_ptr<System> system = make(std::move(how));
  name_ = system->name();
  broker_.emplace(Process::forked([&] {
    ::setenv(muproc::detail::k_runtime_dir_variable, folder_->path.c_str(), 1);
    return system->run();
  }));
  wait_until("the system " + name_ + " to come up", [&] {
    if (!broker_->running()) throw Failed("the broker has ended with code " + std::to_string(broker_->wait()) + ":\n" + broker_->output());
    try {
      attachment_.emplace(attach((folder_->path / name_).native(), {.name = options.attach_as}));
    } catch (const Error&) {
      // not yet
    }
    return attachment_.has_value();
  });
}

TestSystem::~TestSystem() {
  client_.reset();
  leave();
  if (!broker_ || !broker_->running()) return;
  try {
    broker_->signal(SIGTERM);
    broker_->wait();
  } catch (const Failed&) {
    // It is killed; its zygotes then end what is left.
  }
}

std::filesystem::path TestSystem::folder() const { return folder_->path / name_; }

Self& TestSystem::self() {
  if (!attachment_) throw Failed("the test has left the system " + name_);
  return **attachment_;
}

int TestSystem::stop() {
  leave();
  broker_->signal(SIGTERM);
  return broker_->wait();
}

int TestSystem::wait() {
  const int code = broker_->wait();
  leave();
  return code;
}

void TestSystem::kill_broker() {
  broker_->signal(SIGKILL);
  broker_->wait();
}

// ---- states ----------------------------------------------------------------------------------------------------------

TestSystem::Client& TestSystem::client() {
  if (!client_) client_ = std::make_unique<Client>(folder_->path / name_);
  return *client_;
}

Pid TestSystem::pid_of(Address who) {
  const Pid pid = who.is_name() ? self().find(who.name()) : who.pid();
  if (!pid || !self().alive(pid)) throw NoSuchName(text_of(who) + " does not live");
  return pid;
}

Pid TestSystem::wait_for(std::string_view name) {
  return wait_until("a muproc named " + std::string(name), [&] { return self().find(name); });
}

Pid TestSystem::wait_for_restart(std::string_view name, Pid before) {
  return wait_until("a replacement of " + std::string(name) + ' ' + to_string(before), [&] {
    const Pid now = self().find(name);
    return now == before ? nil_pid : now;
  });
}

void TestSystem::wait_until_gone(Address who) {
  wait_until("the end of " + text_of(who), [&] { return who.is_name() ? !self().find(who.name()) : !self().alive(who.pid()); });
}

MuprocStatus TestSystem::status(Address who) {
  const Pid pid = pid_of(who);
  wire::Frame reply = client().ask("to describe a muproc", [&](wire::ToBroker::Builder request) {
    request.setDescribe(self().name_of(pid));
  });
  for (const auto node : reply.as<wire::FromBroker>().getNodes()) {
    if (node.getPid() != pid.bits()) continue;
    const auto from = node.getNodeStatus();
    MuprocStatus status;
    status.activity = static_cast<MuprocStatus::Activity>(from.getActivity());
    status.traps_exits = from.getTrapsExits();
    status.sent = from.getMessagesSent();
    status.received = from.getMessagesReceived();
    status.unmatched = from.getStashMessages();
    status.wakes = from.getWakes();
    status.restarts = node.getRestarts();
    return status;
  }
  throw NoSuchName(text_of(who) + " does not live");
}

void TestSystem::wait_for_unmatched(Address who, std::uint64_t count) {
  wait_until(std::to_string(count) + " unmatched messages in the mailbox of " + text_of(who),
             [&] { return status(who).unmatched >= count; });
}

void TestSystem::wait_until_idle(Address who) {
  // Whoever has sent it something has woken it, or found it awake; so one whom the kernel calls asleep has looked at all of
  // it. That it sleeps in a receive is what it says itself; not to have been woken between two such words is to have been
  // there all the while.
  wait_until(text_of(who) + " to sleep in a receive", [&] {
    const MuprocStatus before = status(who);
    if (before.activity != MuprocStatus::Activity::receiving || process_state(os_pid(who)) != 'S') return false;
    const MuprocStatus now = status(who);
    return now.activity == before.activity && now.received == before.received && now.wakes == before.wakes;
  });
}

// ---- violence --------------------------------------------------------------------------------------------------------

int TestSystem::os_pid(Address who) {
  const Pid pid = pid_of(who);
  for (const MuprocInfo& info : self().list())
    if (info.pid == pid) return info.os_pid;
  throw NoSuchName(text_of(who) + " does not live");
}

void TestSystem::signal(Address who, int number) { ::kill(os_pid(who), number); }

void TestSystem::kill(Address who) {
  const Pid pid = pid_of(who);
  signal(pid, SIGKILL);
  wait_until_gone(pid);
}

void TestSystem::suspend(Address who) {
  const int process = os_pid(who);
  ::kill(process, SIGSTOP);
  wait_until_stopped(process);
}

void TestSystem::resume(Address who) { signal(who, SIGCONT); }

// ---- virtual time ----------------------------------------------------------------------------------------------------

void TestSystem::advance(std::chrono::nanoseconds by) {
  client().ask("to advance the clock", [&](wire::ToBroker::Builder request) { request.setAdvanceClock(by.count()); });
}

}  // namespace muproc::test
