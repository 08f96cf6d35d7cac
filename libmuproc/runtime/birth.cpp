#include "runtime/birth.hpp"

#include <muproc/detail/child.hpp>

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <unordered_map>

#include "runtime/crash_notes.hpp"
#include "runtime/failure.hpp"
#include "runtime/interrupt.hpp"
#include "sys/error.hpp"
#include "wire/codec.hpp"
#include "wire/settings.hpp"
#include "wire/version.hpp"

namespace muproc::detail {
namespace {

constexpr std::uint64_t k_most_kept = shm::k_keep_half / 2;  // bytes of a kept mailbox's stash: its log holds more

/// What the seed does for exec children before the exec; these get but a narrower filter here.
void settle_in(wire::Kit::Reader kit) {
  for (const auto variable : kit.getEnv()) ::setenv(variable.getName().cStr(), variable.getValue().cStr(), 1);
  const auto settings = wire::settings_of(kit.getLimits(), kit.getCwd());
  if (const auto failure = sys::apply(settings)) throw Error(to_string(failure, settings));
  if (!settings.identity) return;
  install_interrupt();  // again: the change of user has undone it
  if (::getppid() != kit.getBrokerOsPid()) throw Error("the broker has gone");
}

/// Who crashes must not take finished lines along. With a buffer of our own: what the C library knows of the one that the
/// zygote may have used would keep some newlines from being seen.
void buffer_lines() {
  static char buffer[BUFSIZ];
  std::setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
}

Kit read_kit(wire::Kit::Reader from, Origin origin) {
  if (from.getLayoutVersion() != shm::k_layout_version)
    throw Error("version mismatch: the broker's layout version is " + std::to_string(from.getLayoutVersion()) +
                " (muproc " + wire::string(from.getLibraryVersion()) + "), this muproc's is " +
                std::to_string(shm::k_layout_version) + " (muproc " + library_version() + ")");
  Kit kit;
  kit.pid = Pid(from.getPid());
  kit.parent = Pid(from.getParent());
  kit.name = wire::string(from.getName());
  kit.args = wire::read(from.getArgs());
  kit.bindings = wire::read(from.getBindings());
  kit.error_stream = wire::string(from.getErrorStream());
  if (origin != Origin::outsider) kit.log_level = from.getLogLevel();
  kit.stderr_inode = from.getStderrInode();
  kit.trap_exits = from.getTrapExits();
  const MailboxSizes defaults;
  kit.stash_limit = from.getStashLimit() ? from.getStashLimit() : defaults.stash.count;
  kit.max_message = from.getMaxMessage() ? from.getMaxMessage() : defaults.max_message.count;
  kit.keeps_mailbox = from.getKeepsMailbox();
  if (kit.keeps_mailbox) kit.stash_limit = std::min(kit.stash_limit, k_most_kept);
  kit.broker_os_pid = from.getBrokerOsPid();
  kit.is_child = origin != Origin::outsider;
  return kit;
}

/// The mailbox is whole before anybody is told of us: who comes after us takes it over from us then, and until then from our
/// predecessor.
std::unique_ptr<Keeper> make_keeper(wire::Kit::Reader kit, const std::shared_ptr<shm::OwnSegment>& own, const std::vector<sys::UniqueFd>& fds) {
  auto log = std::make_unique<shm::KeepLog>(own->at(shm::k_keep_offset));
  if (kit.getHasPredecessor()) {
    std::vector<shm::KeptChannel> channels;
    for (const auto channel : kit.getInherited()) channels.push_back({channel.getCursor(), channel.getSecret()});
    const shm::PeerSegment predecessor(fds[3].get(), {});
    shm::KeptRemains(predecessor).take_over(*own, *log, channels, kit.getRedelivers());
  }
  own->keep_header().is_whole.store(1, std::memory_order_release);  // [SYNC keep.whole]
  return std::make_unique<Keeper>(own, std::move(log));
}

wire::Frame expect(wire::FrameSocket& socket) {
  auto frame = socket.receive();
  if (!frame) throw Error("the broker closed the connection");
  auto contents = frame->as<wire::FromBroker>();
  if (contents.isRefused()) throw Error(wire::string(contents.getRefused()));
  if (contents.isError()) throw_error(contents.getError());
  return std::move(*frame);
}

void say_hello(wire::FrameSocket& socket) {
  capnp::MallocMessageBuilder message;
  auto hello = message.initRoot<wire::ToBroker>().initHello();
  hello.setLayoutVersion(shm::k_layout_version);
  hello.setLibraryVersion(library_version());
  socket.send(message);
}

/// One inaccessible page of the own segment that is handed on to whom this process forks, unlike all else that it maps:
/// by the name of its file the broker knows who has forked them.
void leave_mark(int segment) {
  constexpr std::size_t k_page = 4096;
  sys::check(::mmap(nullptr, k_page, PROT_NONE, MAP_PRIVATE, segment, 0) == MAP_FAILED ? -1 : 0, "mmap", "the mark");
}

/// A cloned child says why it could not be born; an exec child's stderr is its own.
void say_start_failed(wire::FrameSocket& socket, const char* what) {
  capnp::MallocMessageBuilder message;
  wire::write(message.initRoot<wire::ToBroker>().initExiting(), Reason::start_failed(std::string(what)));
  socket.send(message);
}

}  // namespace

const char* library_version() { return wire::k_library_version; }

std::unique_ptr<Runtime> be_born(wire::FrameSocket socket, Origin origin) {
  wire::Frame first = expect(socket);
  auto kit_reader = first.as<wire::FromBroker>();
  if (!kit_reader.isKit()) throw Error("the broker did not begin with a kit");
  try {
    Kit kit = read_kit(kit_reader.getKit(), origin);
    first.expect_fds(kit_reader.getKit().getHasPredecessor() ? 4 : 3);
    auto segment = std::make_shared<shm::OwnSegment>(first.fds()[0].get(), kit.pid);
    sys::UniqueFd eventfd = std::move(first.fds()[1]);
    auto directory = std::make_unique<shm::DirectoryView>(first.fds()[2].get());
    auto keeper = kit.keeps_mailbox ? make_keeper(kit_reader.getKit(), segment, first.fds()) : nullptr;
    const sys::UniqueFd first_segment = std::move(first.fds()[0]);
    first.fds().clear();
    if (origin != Origin::outsider) {
      leave_mark(first_segment.get());
      install_interrupt();
      install_crash_notes(segment);
    }
    if (origin != Origin::outsider) settle_in(kit_reader.getKit());
    if (kit.stderr_inode) buffer_lines();
    say_hello(socket);
    std::uint64_t frames = 1;
    std::vector<wire::Frame> before_go;
    for (;;) {
      wire::Frame frame = expect(socket);
      ++frames;
      if (frame.as<wire::FromBroker>().isGo()) break;
      before_go.push_back(std::move(frame));
    }
    return std::make_unique<Runtime>(std::move(kit), std::move(socket), frames, std::move(segment), std::move(eventfd),
                                     std::move(directory), std::move(keeper), std::move(before_go));
  } catch (const std::exception& failure) {
    say_start_failed(socket, failure.what());
    throw;
  }
}

std::unique_ptr<Runtime> join(wire::FrameSocket socket, const std::string& name, std::chrono::nanoseconds timeout) {
  const timeval limit{timeout.count() / 1'000'000'000, timeout.count() % 1'000'000'000 / 1000};
  ::setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<wire::ToBroker>().initAttach();
  request.setLayoutVersion(shm::k_layout_version);
  request.setLibraryVersion(library_version());
  request.setName(name.c_str());
  request.setMailbox(true);
  socket.send(message);
  return be_born(std::move(socket), Origin::outsider);
}

void bind_for_births() { std::unordered_map<Pid, int>().reserve(1); }

Reason live(Runtime& runtime, Function function) {
  Reason reason;
  try {
    run_noted(function, runtime.self());
    if (runtime.ending()) reason = *runtime.ending();  // it swallowed the signal and returned
  } catch (...) {
    reason = reason_of_current_exception();
  }
  if (Runtime::current() != &runtime) ::_exit(reason.is_normal() ? 0 : 1);  // forked by the function: no muproc
  if (reason.is(Reason::Kind::exception)) runtime.log().error("ended by {}: {}", reason.name(), reason.what());
  runtime.say_exiting(reason);
  return reason;
}

void run_child(int control_socket, EntryFunction function) {
  int status = 1;
  try {
    auto runtime = be_born(wire::FrameSocket(sys::UniqueFd(control_socket)), Origin::cloned);
    live(*runtime, function);
    status = 0;
    (void)runtime.release();  // the process ends here: what was mapped stays until then
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "muproc: cannot start: %s\n", failure.what());
  } catch (const ExitSignal&) {
    // told to exit before it began
  }
  std::fflush(nullptr);
  ::_exit(status);  // the image's static destructors belong to the zygote
}

}  // namespace muproc::detail

