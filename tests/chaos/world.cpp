#include "chaos/world.hpp"

#include <array>

#include "support/sanitizer.hpp"

namespace muproc::test::chaos {
namespace {

constexpr std::uint32_t k_no_limit = 1'000'000;

const char* word(Strategy strategy) {
  switch (strategy) {
    case one_for_one:
    case Strategy::simple_one_for_one: return "one_for_one";
    case one_for_all: return "one_for_all";
    case rest_for_one: return "rest_for_one";
  }
  return "?";
}

const char* word(Restart restart) {
  switch (restart) {
    case permanent: return "permanent";
    case transient: return "transient";
    case temporary: return "temporary";
  }
  return "?";
}

std::string list(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "\"" : ", \"") + name + '"';
  return '[' + text + ']';
}

template <class T, std::size_t N>
T one_of(Random& dice, const std::array<T, N>& choice) {
  return choice[dice.below(N)];
}

}  // namespace

World::World(Random& dice) {
  add_supervisor(dice, 0);
  nodes_[0].strategy = one_for_one;
  nodes_[0].limit = k_no_limit;
  config_ = "[system]\nname = \"chaos\"\ncrash_reports = 0\n";
  for (std::size_t node = 0; node < nodes_.size(); ++node)
    nodes_[node].is_supervisor ? write_supervisor(node) : write_muproc(node, dice);
}

std::size_t World::add_supervisor(Random& dice, int depth) {
  const std::size_t here = nodes_.size();
  nodes_.push_back({depth == 0 ? "root" : "s" + std::to_string(here), true});
  nodes_[here].strategy = one_of(dice, std::array{one_for_one, one_for_all, rest_for_one});
  nodes_[here].limit = dice.one_in(2) ? k_no_limit : static_cast<std::uint32_t>(dice.below(4));
  const std::uint64_t parts = 2 + dice.below(3);
  for (std::uint64_t i = 0; i < parts; ++i) {
    const bool is_deeper = depth == 0 || (depth == 1 && dice.one_in(4));
    const std::size_t child = is_deeper && !(depth == 0 && i == 0) ? add_supervisor(dice, depth + 1) : add_muproc(dice);
    nodes_[here].children.push_back(child);
  }
  return here;
}

std::size_t World::add_muproc(Random& dice) {
  const std::size_t here = nodes_.size();
  nodes_.push_back({"m" + std::to_string(here)});
  nodes_[here].restart = one_of(dice, std::array{permanent, permanent, permanent, transient, temporary});
  muprocs_.push_back(here);
  return here;
}

void World::write_supervisor(std::size_t node) {
  const WantedNode& it = nodes_[node];
  std::vector<std::string> children;
  for (const std::size_t child : it.children) children.push_back(nodes_[child].name);
  config_ += "\n[supervisor." + it.name + "]\nstrategy = \"" + word(it.strategy) +
             "\"\nlimit = { restarts = " + std::to_string(it.limit) +
             ", within = \"1h\" }\nchildren = " + list(children) + "\n";
}

void World::write_muproc(std::size_t node, Random& dice) {
  const WantedNode& it = nodes_[node];
  std::vector<std::string> peers;
  for (const std::size_t other : muprocs_)
    if (other != node && !dice.one_in(3)) peers.push_back(nodes_[other].name);
  // One after the other: within one expression each compiler would draw in an order of its own.
  const std::size_t spares = it.restart != temporary && dice.one_in(4) ? 1 : 0;
  const std::string stop = one_of(dice, std::array{"kill", "300ms", "3s"});
  const bool traps_exits = dice.one_in(2);
  const std::string ring = one_of(dice, std::array{"16KiB", "64KiB", "256KiB"});
  const bool is_slow = dice.one_in(4);
  const std::uint64_t slow_ms = is_slow ? 1 + dice.below(3) : 0;
  spares_ += spares;
  const std::string limits = k_memory_is_ours ? "limits = { memory = \"192MiB\" }\n" : "";
  config_ += "\n[muproc." + it.name +
             "]\nmodule = \"libchaos.so\"\nentry = \"inhabitant\"\nready = { on = \"call\" }\nrestart = \"" +
             word(it.restart) + "\"\nstop = \"" + stop + "\"\n" + limits + "spares = " + std::to_string(spares) +
             "\ntrap_exits = " + (traps_exits ? "true" : "false") +
             "\nmailbox = { ring = \"" + ring +
             "\" }\nargs = { slow_ms = " + std::to_string(slow_ms) + ", peers = " + list(peers) + " }\n";
}

}  // namespace muproc::test::chaos
