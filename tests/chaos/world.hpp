// A world: a random tree of supervisors and the muprocs below them, who send to each other by lot. Made from a seed, and the
// same from the same.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "chaos/want.hpp"
#include "support/random.hpp"

namespace muproc::test::chaos {

class World {
 public:
  explicit World(Random& dice);

  const std::vector<WantedNode>& nodes() const { return nodes_; }
  /// Those that are muprocs.
  const std::vector<std::size_t>& muprocs() const { return muprocs_; }
  std::size_t spares() const { return spares_; }
  /// The supervision config, as for mubroker; the muprocs' code is `module`.
  const std::string& config() const { return config_; }

 private:
  std::size_t add_supervisor(Random& dice, int depth);
  std::size_t add_muproc(Random& dice);
  void write_supervisor(std::size_t node);
  void write_muproc(std::size_t node, Random& dice);

  std::vector<WantedNode> nodes_;
  std::vector<std::size_t> muprocs_;
  std::size_t spares_ = 0;
  std::string config_;
};

}  // namespace muproc::test::chaos
