// How long a tree of muprocs takes to start, from the request until all are ready, and to stop: start/N, stop/1000.
#include "bench/trees.hpp"

#include <algorithm>
#include <vector>

namespace muproc::bench {
namespace {

constexpr int k_least_branch = 32;
constexpr int k_most_branches = 64;  // supervisors take slots too

enum class What { start, stop };

Round start_and_stop(Live& live, int muprocs, What what) {
  Self& self = live.self();
  const double began = now_ns();
  const Pid top = self.start_supervisor("tree", tree_of(muprocs));
  const double up = now_ns();
  end_tree(self, top);
  const double down = now_ns();
  return {(what == What::start ? up - began : down - up) / 1e6};
}

Row tree(Live& live, What what, int muprocs, std::vector<Bar> bars = {}) {
  return {.name = (what == What::start ? "start/" : "stop/") + std::to_string(muprocs),
          .unit = "ms",
          .round = [&live, muprocs, what] { return start_and_stop(live, muprocs, what); },
          .bars = std::move(bars),
          .most_rounds = 5};
}

}  // namespace

Supervisor tree_of(int muprocs) {
  const int branch = std::max(k_least_branch, (muprocs + k_most_branches - 1) / k_most_branches);
  std::vector<Child> branches;
  for (int first = 0; first < muprocs; first += branch) {
    std::vector<Child> children;
    for (int m = first; m < std::min(first + branch, muprocs); ++m) children.emplace_back("m-" + std::to_string(m), idle);
    branches.emplace_back("s-" + std::to_string(first), supervisor(one_for_one, {}, std::move(children)));
  }
  return supervisor(one_for_one, {}, std::move(branches));
}

void end_tree(Self& self, Pid top) {
  const Ref ref = self.monitor(top);
  self.exit(top, Reason::shutdown());
  self.receive(on<"terminated", "ref">(anything, is(static_cast<std::int64_t>(ref.bits))) >> [] {});
}

void add_trees(Rows& rows, Live& live) {
  rows.push_back(tree(live, What::start, 14));
  rows.push_back(tree(live, What::start, 100));
  rows.push_back(tree(live, What::start, 1000, {at_most(1500)}));
  rows.push_back(tree(live, What::stop, 1000, {at_most(1500)}));
}

}  // namespace muproc::bench
