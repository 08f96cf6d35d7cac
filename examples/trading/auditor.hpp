// Generic server `auditor`: says at any time whether the books balance, by asking everybody for theirs. Also for
// people: `muctl call auditor cmd=balance`.
#pragma once

#include <muproc/muproc.hpp>

#include <string>
#include <vector>

#include "balance.hpp"

namespace trading {

class Auditor {
 public:
  Auditor(muproc::Self& self, std::vector<std::string> strategies) : self_(self), strategies_(std::move(strategies)) {}

  Report balance();
  /// A mumsg `cmd: balance`, which is answered by one.
  void handle_info(const muproc::Message& message);

 private:
  muproc::Self& self_;
  std::vector<std::string> strategies_;
};

inline constexpr muproc::Call<&Auditor::balance> balance{"balance", "auditor"};

}  // namespace trading
