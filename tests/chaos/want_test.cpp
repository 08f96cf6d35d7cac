// The model of supervision is right by itself.
#include "chaos/want.hpp"

#include "support/catch.hpp"

using namespace muproc;
using namespace muproc::test::chaos;

namespace {

using Names = std::vector<std::string>;

/// root ── inner (strategy, limit) ── a, b (temporary), c (transient)
///     └── d
Want family(Strategy strategy, std::uint32_t limit, std::uint32_t limit_of_root = 1) {
  return Want({{"root", true, permanent, one_for_one, limit_of_root, {1, 5}},
               {"inner", true, permanent, strategy, limit, {2, 3, 4}},
               {"a"},
               {"b", false, temporary},
               {"c", false, transient},
               {"d"}});
}

constexpr std::size_t k_inner = 1, k_a = 2, k_b = 3, k_c = 4, k_d = 5;

}  // namespace

TEST_CASE("the model: one_for_one replaces who has ended, and a temporary child never", "[chaos][model]") {
  Want want = family(one_for_one, 5);
  const auto outcome = want.ended(k_a, How::abnormal);
  CHECK(outcome.begun == Names{"a"});
  CHECK(outcome.stopped.empty());
  CHECK(want.ended(k_b, How::abnormal).begun.empty());
  CHECK_FALSE(want.is_up(k_b));
  CHECK(want.ended(k_c, How::abnormal).begun == Names{"c"});
  CHECK(want.ended(k_c, How::normal).begun.empty());
}

TEST_CASE("the model: a group is stopped in reverse and started in order, without its temporary members",
          "[chaos][model]") {
  Want all = family(one_for_all, 5);
  auto outcome = all.ended(k_c, How::abnormal);
  CHECK(outcome.stopped == Names{"b", "a"});
  CHECK(outcome.begun == Names{"a", "c"});
  Want rest = family(rest_for_one, 5);
  outcome = rest.ended(k_a, How::normal);
  CHECK(outcome.stopped == Names{"c", "b"});
  CHECK(outcome.begun == Names{"a", "c"});
  CHECK(rest.ended(k_c, How::abnormal).stopped.empty());
}

TEST_CASE("the model: who has used its limit ends with all below it, and is an end to its own supervisor",
          "[chaos][model]") {
  Want want = family(one_for_one, 1);
  CHECK(want.ended(k_a, How::abnormal).begun == Names{"a"});
  auto outcome = want.ended(k_a, How::abnormal);
  CHECK(outcome.stopped == Names{"c", "b"});
  CHECK(outcome.begun == Names{"a", "b", "c"});  // a life of its own, with all of its plan
  CHECK(want.is_up(k_inner));
  CHECK(want.ended(k_a, How::abnormal).begun == Names{"a"});
  outcome = want.ended(k_a, How::abnormal);  // and that is the root's limit
  CHECK(outcome.system_ends);
  CHECK(outcome.stopped == Names{"c", "b", "d"});
  CHECK_FALSE(want.is_up(k_d));
}
