#include "chaos/weather.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <memory>
#include <thread>

#include "chaos/shortage.hpp"
#include "sys/fd.hpp"

namespace muproc::test::chaos {
namespace {

using namespace std::chrono_literals;

constexpr std::array k_servers = {"muproc-zygote", "muproc-seed", "muproc-logger"};
constexpr std::uint64_t k_longest_pause_ms = 60;  // between two events
constexpr std::size_t k_longest_spell = 6;        // events

}  // namespace

void Weather::storm(std::size_t events) {
  for (std::size_t now = 0; now < events; ++now) {
    strike(now);
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(dice_.below(k_longest_pause_ms));
    do {
      witness_.look();
      std::this_thread::sleep_for(1ms);
    } while (std::chrono::steady_clock::now() < until);
    std::erase_if(spells_, [&](const Spell& spell) { return spell.until <= now && (spell.lift(), true); });
  }
  for (const Spell& spell : std::exchange(spells_, {})) spell.lift();
  note("calm");
}

void Weather::strike(std::size_t now) {
  const std::size_t until = now + 1 + dice_.below(k_longest_spell);
  std::string who;
  switch (dice_.below(16)) {
    case 0: return stop_the_broker();
    case 1:
    case 2: return leave_without_descriptors(house_.os_pid(), "the broker", until);
    case 3:
      if (const pid_t server = some_server(who)) stop(server, who, until);
      return;
    case 4:
      if (const pid_t server = some_server(who)) leave_without_descriptors(server, who, until);
      return;
    case 5:
      if (const pid_t server = some_server(who)) note("kill " + who), ::kill(server, SIGKILL);
      return;
    case 6:
    case 7:
      if (const pid_t muproc = some_muproc(who)) stop(muproc, who, until);
      return;
    case 8:
      if (const pid_t muproc = some_muproc(who)) leave_without_descriptors(muproc, who, until);
      return;
    case 9: return forbid_births(until);
    default: return end_somebody();
  }
}

/// Not normally: then a transient one would stay away.
void Weather::end_somebody() {
  const std::size_t node = world_.muprocs()[dice_.below(world_.muprocs().size())];
  const std::string way = std::array{"kill", "kill", "segv", "throw", "eat"}[dice_.below(5)];
  note(way + ' ' + world_.nodes()[node].name);
  witness_.end(node, way);
}

void Weather::stop(pid_t os_pid, const std::string& who, std::size_t until) {
  note("stop " + who);
  try {
    const auto pidfd = std::make_shared<sys::UniqueFd>(sys::open_pidfd(os_pid));
    sys::send_signal(pidfd->get(), SIGSTOP);
    spells_.push_back({until, [pidfd] { sys::send_signal(pidfd->get(), SIGCONT); }});
  } catch (const std::exception&) {
    // it has ended
  }
}

/// And nobody looks meanwhile: the witness would wait for the broker.
void Weather::stop_the_broker() {
  const std::chrono::milliseconds away(dice_.one_in(4) ? 200 + dice_.below(1500) : dice_.below(200));
  note("stop the broker for " + std::to_string(away.count()) + " ms");
  ::kill(house_.os_pid(), SIGSTOP);
  std::this_thread::sleep_for(away);
  ::kill(house_.os_pid(), SIGCONT);
}

void Weather::leave_without_descriptors(pid_t os_pid, const std::string& who, std::size_t until) {
  const std::size_t left = dice_.below(8);
  note("leave " + who + " with " + std::to_string(left) + " descriptors");
  try {
    spells_.push_back({until, [shortage = std::make_shared<Shortage>(os_pid, left)] { shortage->end(); }});
  } catch (const std::exception&) {
    // it has ended
  }
}

/// The kernel counts all processes of the user.
void Weather::forbid_births(std::size_t until) {
  if (!house_.is_an_ordinary_users()) return;
  for (const char* server : {"muproc-zygote", "muproc-seed"})
    for (const pid_t os_pid : house_.servers(server)) {
      note("no births by " + std::string(server));
      rlimit former{};
      if (::prlimit(os_pid, RLIMIT_NPROC, nullptr, &former) != 0) continue;
      const rlimit scarce{1, former.rlim_max};
      ::prlimit(os_pid, RLIMIT_NPROC, &scarce, nullptr);
      spells_.push_back({until, [os_pid, former] { ::prlimit(os_pid, RLIMIT_NPROC, &former, nullptr); }});
    }
}

pid_t Weather::some_server(std::string& who) {
  who = k_servers[dice_.below(k_servers.size())];
  const auto which = dice_.bits();  // drawn whether there is one or not: the next draws are the same
  const auto servers = house_.servers(who);
  return servers.empty() ? 0 : servers[which % servers.size()];
}

pid_t Weather::some_muproc(std::string& who) {
  const auto all = witness_.self().list("m*");
  who = world_.nodes()[world_.muprocs()[dice_.below(world_.muprocs().size())]].name;
  const auto found = std::find_if(all.begin(), all.end(), [&](const MuprocInfo& info) { return info.name == who; });
  return found == all.end() ? 0 : found->os_pid;
}

}  // namespace muproc::test::chaos
