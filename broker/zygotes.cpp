#include "broker/zygotes.hpp"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include <muproc/reason.hpp>

#include "shm/layout.hpp"
#include "sys/error.hpp"
#include "sys/process.hpp"
#include "wire/codec.hpp"
#include "wire/frame.hpp"

namespace muproc::broker {
namespace fs = std::filesystem;

std::string reap_in_words(int pidfd) {
  siginfo_t info{};
  if (sys::wait_for_child(pidfd, info) != 0) return "unknown";
  if (info.si_code == CLD_EXITED) return "exit code " + std::to_string(info.si_status);
  return to_string(Reason::signal(info.si_status, info.si_code == CLD_DUMPED));
}

namespace {

constexpr std::chrono::nanoseconds k_seed_again = std::chrono::milliseconds(200);

/// Until a module is loaded.
class KeptPlace {
 public:
  explicit KeptPlace(const ChildPlace& place)
      : control_(sys::duplicate(place.control)), cgroup_(place.cgroup), cgroup_holds_memory_(place.cgroup_holds_memory) {
    if (place.out < 0) return;
    out_ = sys::duplicate(place.out);
    err_ = sys::duplicate(place.err);
  }
  ChildPlace place() const { return {control_.get(), out_.get(), err_.get(), cgroup_, cgroup_holds_memory_}; }

 private:
  sys::UniqueFd control_, out_, err_;
  std::string cgroup_;
  bool cgroup_holds_memory_;
};

}  // namespace

/// Tells one file from another that has taken its place, or from what it has become.
struct FileMark {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  std::int64_t changed_ns = 0;
  friend bool operator==(const FileMark&, const FileMark&) = default;

  static FileMark of(const std::string& path) {
    struct stat info {};
    if (path.empty() || ::stat(path.c_str(), &info) != 0) return {};
    return {info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec};
  }
};

struct Zygotes::Server {
  std::string module;
  bool is_seed = false, is_loaded = false, is_gone = false;
  int os_pid = 0;
  sys::UniqueFd pidfd;
  wire::FrameSocket socket;
  Watch reading, death;
  std::vector<std::vector<std::uint8_t>> build_ids;
  std::unordered_map<std::uint64_t, WhenCloned> asked;
  std::vector<WhenCloned> waiting;  // for it to be loaded
  std::size_t given_up = 0;         // of those: how many have run out of time
  std::string why_gone;             // of one that never came to be
  FileMark file;                    // what the module's file was when it was loaded

  std::string what() const {
    if (is_seed) return "the seed";
    return module.empty() ? "the zygote of this program" : "the zygote of " + module;
  }
  bool knows(const std::vector<std::uint8_t>& build_id) const {
    return std::find(build_ids.begin(), build_ids.end(), build_id) != build_ids.end();
  }
};

/// What goes wrong in who is told is no fault of the zygote's, and the next are told all the same.
void Zygotes::tell(const WhenCloned& done, Cloned answer) noexcept {
  try {
    done(std::move(answer));
  } catch (const std::exception& failure) {
    log_.error("after a clone: {}", failure.what());
  }
}

void Zygotes::answer(Server& server, std::uint64_t id, Cloned answer) {
  auto node = server.asked.extract(id);
  if (!node.empty()) tell(node.mapped(), std::move(answer));
}

void Zygotes::answer_waiting(Server& server, const Cloned& answer) {
  for (const auto& done : std::exchange(server.waiting, {})) tell(done, answer);
}

Zygotes::Zygotes(Loop& loop, Log& log, SeedProcess seed, Settings settings)
    : loop_(loop), log_(log), settings_(std::move(settings)) {
  sessions_.push_back(seed.os_pid);
  seed_ = adopt({}, seed.os_pid, std::move(seed.socket), true);
  seed_->is_seed = true;
}

Zygotes::~Zygotes() { stop(); }

Zygotes::ServerPtr Zygotes::adopt(std::string module, int os_pid, sys::UniqueFd socket, bool is_loaded) {
  auto server = std::make_shared<Server>();
  server->module = std::move(module);
  server->is_loaded = is_loaded;
  sys::set_nonblocking(socket.get(), true);
  server->socket = wire::FrameSocket(std::move(socket), wire::Peer::untrusted);
  const std::weak_ptr<Server> weak = server;
  server->reading = loop_.when_readable(server->socket.fd(), [this, weak] {
    if (const auto alive = weak.lock()) read_from(alive);
  });
  if (os_pid) watch_death(server, os_pid);
  all_.push_back(server);
  return server;
}

void Zygotes::watch_death(const ServerPtr& server, int os_pid) {
  server->os_pid = os_pid;
  server->pidfd = sys::open_pidfd(os_pid);
  server->death = loop_.when_readable(server->pidfd.get(), [this, weak = std::weak_ptr(server)] {
    if (const auto alive = weak.lock()) ended(alive);
  });
}

// ---- requests --------------------------------------------------------------------------------------------------------

void Zygotes::clone_code(const PlannedCode& code, const ChildPlace& place, WhenCloned done) {
  if (const auto* function = std::get_if<FunctionCode>(&code)) return clone_function(*function, place, std::move(done));
  const auto& entry = std::get<ModuleEntry>(code);
  const ServerPtr zygote = zygote_for(module_of(code));
  const auto ask_for_it = [this, zygote, name = entry.entry, done](const ChildPlace& given) {
    capnp::MallocMessageBuilder message;
    message.initRoot<wire::ToZygote>().setCloneEntry(wire::pointer(name));
    ask_for_child(*zygote, message, given, done);
  };
  if (zygote->is_loaded) return ask_for_it(place);
  zygote->waiting.push_back([ask_for_it, kept = std::make_shared<KeptPlace>(place), done](Cloned loaded) {
    loaded.error.empty() ? ask_for_it(kept->place()) : done(std::move(loaded));
  });
}

void Zygotes::clone_function(const FunctionCode& function, const ChildPlace& place, WhenCloned done) {
  const auto ask_for_it = [this, function, done](Server& zygote, const ChildPlace& given) {
    capnp::MallocMessageBuilder message;
    auto request = message.initRoot<wire::ToZygote>();
    request.setCloneFunction(function.offset);
    request.setBuildId(kj::arrayPtr(function.build_id.data(), function.build_id.size()));
    ask_for_child(zygote, message, given, done);
  };
  if (const ServerPtr zygote = zygote_knowing(function)) return ask_for_it(*zygote, place);
  const ServerPtr zygote = zygote_for(module_of(function));
  const auto when_loaded = [function, ask_for_it, done, zygote](Cloned loaded, const ChildPlace& given) {
    if (!loaded.error.empty()) return done(std::move(loaded));
    if (zygote->knows(function.build_id)) return ask_for_it(*zygote, given);
    done({0, "no zygote knows the code of " + to_string(PlannedCode(function)) + " (" + function.module +
                 "): only functions of modules, and of the program that runs the broker, can be spawned"});
  };
  if (zygote->is_loaded) return when_loaded({}, place);
  zygote->waiting.push_back([when_loaded, kept = std::make_shared<KeptPlace>(place)](Cloned loaded) {
    when_loaded(std::move(loaded), kept->place());
  });
}

void Zygotes::clone_program(const Plan& plan, const std::vector<std::pair<std::string, std::string>>& environment,
                            int status, const ChildPlace& place, WhenCloned done) {
  capnp::MallocMessageBuilder message;
  auto request = message.initRoot<wire::ToZygote>();
  auto spec = request.initCloneExec();
  const auto& program = std::get<Program>(plan.code);
  auto argv = spec.initArgv(static_cast<unsigned>(program.argv.size()));
  for (unsigned i = 0; i < program.argv.size(); ++i) argv.set(i, wire::pointer(program.argv[i]));
  write_environment(spec.initEnv(static_cast<unsigned>(environment.size())), environment);
  spec.setCwd(wire::pointer(plan.cwd));
  spec.setPlain(program.plain);
  write(spec.initLimits(), plan, place.cgroup_holds_memory);
  const bool has_output = place.out >= 0;
  request.setOutput(has_output);
  request.setCgroup(wire::pointer(place.cgroup));
  if (program.plain) {
    has_output ? ask(*seed_, message, {status, place.out, place.err}, std::move(done)) : ask(*seed_, message, {status}, std::move(done));
  } else {
    has_output ? ask(*seed_, message, {status, place.control, place.out, place.err}, std::move(done))
               : ask(*seed_, message, {status, place.control}, std::move(done));
  }
}

/// The request of a zygote for a child, which is complete but for its descriptors.
void Zygotes::ask_for_child(Server& server, capnp::MessageBuilder& message, const ChildPlace& place, WhenCloned done) {
  const bool has_output = place.out >= 0;
  auto request = message.getRoot<wire::ToZygote>();
  request.setOutput(has_output);
  request.setCgroup(wire::pointer(place.cgroup));
  has_output ? ask(server, message, {place.control, place.out, place.err}, std::move(done)) : ask(server, message, {place.control}, std::move(done));
}

void Zygotes::ask(Server& server, capnp::MessageBuilder& message, std::initializer_list<int> fds, WhenCloned done) {
  if (server.is_gone) return done({0, server.what() + " has died", true});
  const std::uint64_t id = ++last_id_;
  message.getRoot<wire::ToZygote>().setId(id);
  server.asked.emplace(id, std::move(done));
  try {
    if (!server.socket.send(message, fds)) flush_later(server);
  } catch (const std::exception& failure) {  // nothing of it was written
    answer(server, id, {0, failure.what()});
  }
}

void Zygotes::flush_later(Server& server) {
  server.reading.when_writable(
      [this, &server] {
        if (!server.is_gone && !server.socket.flush()) flush_later(server);
      },
      server.socket.is_starved());
}

// ---- zygotes ---------------------------------------------------------------------------------------------------------

std::string Zygotes::find_module(const std::string& module) const {
  if (module.empty()) return module;
  std::error_code error;
  if (module.find('/') != module.npos) {
    const fs::path path = fs::canonical(module, error);
    if (error) throw std::runtime_error("module " + module + ": " + error.message());
    return path;
  }
  std::string places;
  for (const auto& directory : settings_.module_dirs) {
    const fs::path path = fs::canonical(directory / module, error);
    if (!error) return path;
    places += (places.empty() ? "" : ", ") + directory.native();
  }
  throw std::runtime_error("module " + module + " is not there; looked in " + (places.empty() ? "no directory" : places));
}

std::string Zygotes::module_of(const PlannedCode& code) const {
  if (const auto* entry = std::get_if<ModuleEntry>(&code)) return find_module(entry->module);
  const auto& module = std::get<FunctionCode>(code).module;
  const bool is_module = fs::path(module).filename().native().find(".so") != std::string::npos;
  return is_module ? find_module(module) : std::string();
}

Zygotes::ServerPtr Zygotes::zygote_for(const std::string& module) {
  if (const auto found = zygotes_.find(module); found != zygotes_.end()) return found->second;
  auto [ours, theirs] = sys::socket_pair();
  ServerPtr zygote = adopt(module, 0, std::move(ours), false);
  zygote->file = FileMark::of(module);  // before it is read: a change meanwhile is one
  zygotes_.emplace(module, zygote);
  capnp::MallocMessageBuilder message;
  message.initRoot<wire::ToZygote>().setCloneZygote(wire::pointer(module));
  ask(*seed_, message, {theirs.get()}, [this, zygote](const Cloned& cloned) { zygote_cloned(zygote, cloned); });
  if (zygote->is_gone) throw std::runtime_error(zygote->why_gone);  // it could not even be asked for
  return zygote;
}

void Zygotes::zygote_cloned(const ServerPtr& zygote, const Cloned& cloned) {
  zygote->why_gone = cloned.error;
  if (cloned.os_pid) {
    try {
      return watch_death(zygote, cloned.os_pid);
    } catch (const std::exception& failure) {  // nobody would know of its end
      zygote->why_gone = zygote->what() + ": " + failure.what();
      end_stray(cloned.os_pid);
    }
  }
  zygote->is_gone = true;
  zygote->reading.stop();
  zygote->socket.close();
  forget(*zygote);
  std::erase(all_, zygote);
  answer_waiting(*zygote, {0, zygote->why_gone});
  for (auto& [id, done] : std::exchange(zygote->asked, {})) tell(done, {0, zygote->why_gone});
}

Zygotes::ServerPtr Zygotes::zygote_knowing(const FunctionCode& function) const {
  for (const auto& [module, zygote] : zygotes_)
    if (zygote->is_loaded && zygote->knows(function.build_id)) return zygote;
  return nullptr;
}

void Zygotes::give_up_loading(const PlannedCode& code) {
  ServerPtr zygote;
  try {
    if (const auto found = zygotes_.find(module_of(code)); found != zygotes_.end()) zygote = found->second;
  } catch (const std::exception&) {
    return;  // the module's file is gone: nobody else will wait for it
  }
  if (!zygote || zygote->is_loaded || !zygote->pidfd || ++zygote->given_up < zygote->waiting.size()) return;
  log_.warn("{} has not finished loading in time: it is killed", zygote->what());
  sys::send_signal(zygote->pidfd.get(), SIGKILL);
  forget(*zygote);  // who asks next gets another
}

void Zygotes::read_from(const ServerPtr& server) {
  try {
    while (auto frame = server->socket.receive()) {
      const auto reply = frame->as<wire::FromZygote>();
      switch (reply.which()) {
        case wire::FromZygote::CLONED:
          answer(*server, reply.getId(), {reply.getCloned(), {}, false, server->os_pid});
          break;
        case wire::FromZygote::FAILED: answer(*server, reply.getId(), {0, wire::string(reply.getFailed())}); break;
        case wire::FromZygote::LOADED: hear_loaded(*server, reply.getLoaded()); break;
      }
    }
  } catch (const std::exception& failure) {
    log_.error("{} talks nonsense and is killed: {}", server->what(), failure.what());
    if (server->pidfd) sys::send_signal(server->pidfd.get(), SIGKILL);
  }
  if (may_have_strays_) look_for_strays_if_quiet();
}

void Zygotes::hear_loaded(Server& server, wire::Loaded::Reader loaded) {
  const std::string error = wire::string(loaded.getError());
  if (!error.empty()) {
    log_.error("{} failed: {}", server.what(), error);
    server.is_gone = true;  // it ends by itself
    forget(server);
    return answer_waiting(server, {0, error});
  }
  server.is_loaded = true;
  for (auto id : loaded.getBuildIds()) server.build_ids.emplace_back(id.begin(), id.end());
  log_.info("{} is ready: process {}, {} entries", server.what(), server.os_pid, loaded.getEntries().size());
  answer_waiting(server, {});
}

void Zygotes::forget(const Server& server) {
  const auto found = zygotes_.find(server.module);
  if (found != zygotes_.end() && found->second.get() == &server) zygotes_.erase(found);
}

void Zygotes::ended(const ServerPtr& server) {
  read_from(server);  // what it has still done
  server->reading.stop();
  server->death.stop();
  std::erase(all_, server);
  const std::string how = reap_in_words(server->pidfd.get());
  if (stopping_) return;
  const bool was_expected = std::exchange(server->is_gone, true);
  if (!was_expected) log_.error("{} has ended ({}): process {}", server->what(), how, server->os_pid);
  forget(*server);
  server->socket.close();
  if (server == seed_) respawn_seed();
  const bool was_loading = !server->is_loaded;
  may_have_strays_ = may_have_strays_ || !server->asked.empty();
  answer_waiting(*server, {0, server->what() + " ended while it was loading (" + how + ")"});
  for (auto& [id, done] : std::exchange(server->asked, {}))
    tell(done, {0, server->what() + " has died (" + how + ")", !was_loading});
  look_for_strays_if_quiet();
  is_past(server->os_pid);
}

void Zygotes::look_for_strays_if_quiet() {
  if (is_quiet() && std::exchange(may_have_strays_, false)) end_strays();
}

bool Zygotes::is_quiet() const {
  return std::all_of(all_.begin(), all_.end(), [](const ServerPtr& server) { return server->asked.empty(); });
}

bool Zygotes::has_session(int session) const { return std::find(sessions_.begin(), sessions_.end(), session) != sessions_.end(); }

/// Until there is one, what needs it fails and says so.
void Zygotes::respawn_seed() noexcept {
  int os_pid = 0;
  try {
    SeedProcess seed = fork_seed(settings_.lock, settings_.files, settings_.token, settings_.cgroup);
    os_pid = seed.os_pid;
    const ServerPtr another = adopt({}, os_pid, std::move(seed.socket), true);
    another->is_seed = true;
    seed_ = another;
    sessions_.push_back(os_pid);
    log_.warn("another seed: process {}", os_pid);
  } catch (const std::exception& failure) {
    log_.error("there is no seed, and another one comes in a moment: {}", failure.what());
    if (os_pid) end_stray(os_pid);
    another_seed_ = loop_.after(k_seed_again, [this] { respawn_seed(); });
  }
}

bool Zygotes::is_ours(int os_pid) const {
  return std::any_of(all_.begin(), all_.end(), [&](const ServerPtr& server) { return server->os_pid == os_pid; });
}

bool Zygotes::has_changed(const std::string& module) const {
  try {
    const auto zygote = zygotes_.find(find_module(module));
    return zygote != zygotes_.end() && !module.empty() && !(zygote->second->file == FileMark::of(zygote->first));
  } catch (const std::exception&) {
    return false;  // it is gone: what is loaded goes on
  }
}

void Zygotes::renew(const std::string& module) {
  const auto zygote = zygotes_.find(find_module(module));
  if (zygote == zygotes_.end()) return;
  log_.info("{} has changed: its next children come from a new zygote", module);
  old_.push_back(zygote->second);
  const int os_pid = zygote->second->os_pid;
  zygotes_.erase(zygote);
  is_past(os_pid);
}

void Zygotes::end_the_old(const std::function<bool(int)>& has_children) {
  std::erase_if(old_, [&](const ServerPtr& zygote) {
    if (zygote->is_gone) return true;
    if (has_children(zygote->os_pid) || !zygote->asked.empty() || !zygote->pidfd) return false;
    zygote->is_gone = true;  // expected
    sys::send_signal(zygote->pidfd.get(), SIGKILL);
    return true;
  });
}

bool Zygotes::is_loaded(const PlannedCode& code) const {
  if (const auto* function = std::get_if<FunctionCode>(&code)) return zygote_knowing(*function) != nullptr;
  const auto* entry = std::get_if<ModuleEntry>(&code);
  if (!entry) return false;
  try {
    const auto zygote = zygotes_.find(find_module(entry->module));
    return zygote != zygotes_.end() && zygote->second->is_loaded;
  } catch (const std::exception&) {
    return false;  // it is not even there
  }
}

void Zygotes::stop() {
  if (std::exchange(stopping_, true)) return;
  another_seed_.stop();
  for (const auto& server : all_) {
    server->reading.stop();
    server->death.stop();
    if (server->pidfd) sys::send_signal(server->pidfd.get(), SIGKILL);
  }
  for (const auto& server : all_)
    if (server->pidfd) reap_in_words(server->pidfd.get());
}

}  // namespace muproc::broker
