#include "broker/zygotes.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include <muproc/reason.hpp>

#include "shm/layout.hpp"
#include "sys/error.hpp"
#include "wire/codec.hpp"
#include "wire/frame.hpp"

namespace muproc::broker {
namespace fs = std::filesystem;

#ifndef P_PIDFD
#define P_PIDFD static_cast<idtype_t>(3)
#endif

std::string reap_in_words(int pidfd) {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | __WALL) != 0) return "unknown";
  if (info.si_code == CLD_EXITED) return "exit code " + std::to_string(info.si_status);
  return to_string(Reason::signal(info.si_status, info.si_code == CLD_DUMPED));
}

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

  std::string what() const {
    if (is_seed) return "the seed";
    return module.empty() ? "the zygote of this program" : "the zygote of " + module;
  }
  bool knows(const std::vector<std::uint8_t>& build_id) const {
    return std::find(build_ids.begin(), build_ids.end(), build_id) != build_ids.end();
  }
  void answer(std::uint64_t id, Cloned answer) {
    auto node = asked.extract(id);
    if (!node.empty()) node.mapped()(std::move(answer));  // does not throw: see Launcher::cloned and zygote_for
  }
  void answer_waiting(const Cloned& answer) {
    for (const auto& done : std::exchange(waiting, {})) done(answer);
  }
};

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
  server->socket = wire::FrameSocket(std::move(socket));
  const std::weak_ptr<Server> weak = server;
  server->reading = loop_.when_readable(server->socket.fd(), [this, weak] {
    if (const auto alive = weak.lock()) read_from(alive);
  });
  all_.push_back(server);
  if (os_pid) watch_death(server, os_pid);
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

void Zygotes::clone_code(const PlannedCode& code, int control, WhenCloned done) {
  if (const auto* function = std::get_if<FunctionCode>(&code)) return clone_function(*function, control, std::move(done));
  const auto& entry = std::get<ModuleEntry>(code);
  const ServerPtr zygote = zygote_for(find_module(entry.module));
  const auto ask_for_it = [this, zygote, name = entry.entry, done](int fd) {
    capnp::MallocMessageBuilder message;
    message.initRoot<wire::ToZygote>().setCloneEntry(wire::pointer(name));
    ask(*zygote, message, {fd}, done);
  };
  if (zygote->is_loaded) return ask_for_it(control);
  auto kept = std::make_shared<sys::UniqueFd>(sys::duplicate(control));
  zygote->waiting.push_back([ask_for_it, kept, done](Cloned loaded) {
    loaded.error.empty() ? ask_for_it(kept->get()) : done(std::move(loaded));
  });
}

void Zygotes::clone_function(const FunctionCode& function, int control, WhenCloned done) {
  const auto ask_for_it = [this, function, done](Server& zygote, int fd) {
    capnp::MallocMessageBuilder message;
    auto request = message.initRoot<wire::ToZygote>();
    request.setCloneFunction(function.offset);
    request.setBuildId(kj::arrayPtr(function.build_id.data(), function.build_id.size()));
    ask(zygote, message, {fd}, done);
  };
  if (const ServerPtr zygote = zygote_knowing(function)) return ask_for_it(*zygote, control);
  const bool is_module = fs::path(function.module).filename().native().find(".so") != std::string::npos;
  const ServerPtr zygote = zygote_for(is_module ? find_module(function.module) : std::string());
  const auto when_loaded = [function, ask_for_it, done, zygote](Cloned loaded, int fd) {
    if (!loaded.error.empty()) return done(std::move(loaded));
    if (zygote->knows(function.build_id)) return ask_for_it(*zygote, fd);
    done({0, "no zygote knows the code of " + to_string(PlannedCode(function)) + " (" + function.module +
                 "): only functions of modules, and of the program that runs the broker, can be spawned"});
  };
  if (zygote->is_loaded) return when_loaded({}, control);
  auto kept = std::make_shared<sys::UniqueFd>(sys::duplicate(control));
  zygote->waiting.push_back([when_loaded, kept](Cloned loaded) { when_loaded(std::move(loaded), kept->get()); });
}

void Zygotes::clone_program(const Plan& plan, const std::vector<std::pair<std::string, std::string>>& environment,
                            int status, int control, WhenCloned done) {
  capnp::MallocMessageBuilder message;
  auto spec = message.initRoot<wire::ToZygote>().initCloneExec();
  const auto& program = std::get<Program>(plan.code);
  auto argv = spec.initArgv(static_cast<unsigned>(program.argv.size()));
  for (unsigned i = 0; i < program.argv.size(); ++i) argv.set(i, wire::pointer(program.argv[i]));
  write_environment(spec.initEnv(static_cast<unsigned>(environment.size())), environment);
  spec.setCwd(wire::pointer(plan.cwd));
  spec.setPlain(program.plain);
  write(spec.initLimits(), plan);
  if (program.plain) {
    ask(*seed_, message, {status}, std::move(done));
  } else {
    ask(*seed_, message, {status, control}, std::move(done));
  }
}

void Zygotes::ask(Server& server, capnp::MessageBuilder& message, std::initializer_list<int> fds, WhenCloned done) {
  if (server.is_gone) return done({0, server.what() + " has died", true});
  const std::uint64_t id = ++last_id_;
  message.getRoot<wire::ToZygote>().setId(id);
  server.asked.emplace(id, std::move(done));
  if (!server.socket.send(message, fds)) flush_later(server);
}

void Zygotes::flush_later(Server& server) {
  server.reading.when_writable([this, &server] {
    if (!server.is_gone && !server.socket.flush()) flush_later(server);
  });
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

Zygotes::ServerPtr Zygotes::zygote_for(const std::string& module) {
  if (const auto found = zygotes_.find(module); found != zygotes_.end()) return found->second;
  auto [ours, theirs] = sys::socket_pair();
  const ServerPtr zygote = adopt(module, 0, std::move(ours), false);
  zygotes_.emplace(module, zygote);
  capnp::MallocMessageBuilder message;
  message.initRoot<wire::ToZygote>().setCloneZygote(wire::pointer(module));
  ask(*seed_, message, {theirs.get()}, [this, zygote](Cloned cloned) {
    if (cloned.os_pid) return watch_death(zygote, cloned.os_pid);
    zygote->is_gone = true;
    forget(*zygote);
    std::erase(all_, zygote);
    zygote->answer_waiting(cloned);
  });
  return zygote;
}

Zygotes::ServerPtr Zygotes::zygote_knowing(const FunctionCode& function) {
  for (const auto& [module, zygote] : zygotes_)
    if (zygote->is_loaded && zygote->knows(function.build_id)) return zygote;
  return nullptr;
}

void Zygotes::give_up_loading(const PlannedCode& code) {
  const auto* entry = std::get_if<ModuleEntry>(&code);
  for (const auto& [module, zygote] : zygotes_) {
    if (zygote->is_loaded || !zygote->pidfd) continue;
    if (entry && find_module(entry->module) != module) continue;
    log_.warn("{} has not finished loading in time: it is killed", zygote->what());
    sys::send_signal(zygote->pidfd.get(), SIGKILL);
  }
}

void Zygotes::read_from(const ServerPtr& server) {
  try {
    while (auto frame = server->socket.receive()) {
      const auto reply = frame->as<wire::FromZygote>();
      switch (reply.which()) {
        case wire::FromZygote::CLONED: server->answer(reply.getId(), {reply.getCloned(), {}}); break;
        case wire::FromZygote::FAILED: server->answer(reply.getId(), {0, wire::string(reply.getFailed())}); break;
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
    return server.answer_waiting({0, error});
  }
  server.is_loaded = true;
  for (auto id : loaded.getBuildIds()) server.build_ids.emplace_back(id.begin(), id.end());
  log_.info("{} is ready: process {}, {} entries", server.what(), server.os_pid, loaded.getEntries().size());
  server.answer_waiting({});
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
  server->answer_waiting({0, server->what() + " ended while it was loading (" + how + ")"});
  for (auto& [id, done] : std::exchange(server->asked, {})) done({0, server->what() + " has died (" + how + ")", !was_loading});
  look_for_strays_if_quiet();
}

void Zygotes::look_for_strays_if_quiet() {
  const bool is_quiet = std::all_of(all_.begin(), all_.end(), [](const ServerPtr& server) { return server->asked.empty(); });
  if (is_quiet && std::exchange(may_have_strays_, false)) end_strays();
}

void Zygotes::respawn_seed() {
  SeedProcess seed = fork_seed(settings_.lock, settings_.files);
  sessions_.push_back(seed.os_pid);
  log_.warn("another seed: process {}", seed.os_pid);
  seed_ = adopt({}, seed.os_pid, std::move(seed.socket), true);
  seed_->is_seed = true;
}

bool Zygotes::is_ours(int os_pid) const {
  return std::any_of(all_.begin(), all_.end(), [&](const ServerPtr& server) { return server->os_pid == os_pid; });
}

void Zygotes::stop() {
  if (std::exchange(stopping_, true)) return;
  for (const auto& server : all_) {
    server->reading.stop();
    server->death.stop();
    if (server->pidfd) sys::send_signal(server->pidfd.get(), SIGKILL);
  }
  for (const auto& server : all_)
    if (server->pidfd) reap_in_words(server->pidfd.get());
}

}  // namespace muproc::broker
