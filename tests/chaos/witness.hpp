// Who sees all that happens in a world, and says what must not have happened. The test itself, attached from outside.
//
// Each inhabitant tells it of its birth, and of what was wrong with what it got; the witness monitors each, so that it
// hears of each end. It is to `look` often: who sends to it waits while its mailbox is full.
#pragma once

#include <muproc/muproc.hpp>

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "chaos/house.hpp"
#include "chaos/want.hpp"
#include "support/segment_invariants.hpp"

namespace muproc::test::chaos {

class Witness {
 public:
  Witness(House& house, const World& world);

  Self& self() { return **membership_; }
  const Want& want() const { return want_; }
  Pid pid_of(std::size_t node);

  /// Takes what has come.
  void look();
  /// When all weather is over: the tree is as it must be, all that was sent has arrived, once, whole and in order, everybody has
  /// heard of the ends that it waits for, muctl says the same, and the broker holds no more than in the beginning.
  void look_at_the_calm();
  /// One ends, in calm weather and in that way: what comes of it is what the model says, in its order.
  void duel(std::size_t node, const std::string& way);
  /// Makes it end: "return", "throw", "eat" (all the memory that it can have), "kill", "segv".
  void end(std::size_t node, const std::string& way);
  void leave() { membership_.reset(); }

 private:
  struct Report {
    std::map<Pid, std::int64_t> sent, got;
    std::vector<Pid> watched;
  };
  void was_born(const std::string& name, Pid pid);
  void has_ended(std::int64_t ref, const Value& who);
  void wait_for_nothing(const char* what_for, const std::function<std::string()>& what_is_wrong);
  std::string what_is_missing();
  void hush(bool is_on);
  std::map<Pid, Report> audit();
  std::string what_is_under_way();
  std::string what_muctl_has_wrong(bool model_is_right);
  void compare_holdings();

  House& house_;
  const World& world_;
  Want want_;
  std::optional<Attachment> membership_;
  std::vector<std::string> breaches_;
  std::vector<std::string> born_, ended_;  // since the latest duel began, by name
  std::map<Pid, std::string> names_;
  std::map<std::int64_t, Pid> monitors_;
  std::map<Pid, Report> reports_;
  std::optional<Holdings> least_;
};

}  // namespace muproc::test::chaos
