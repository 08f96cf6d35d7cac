// What befalls the processes of a house: signals, stops, and the kernel's refusals. Each storm is drawn from the seed; when it
// is over, everything that was taken is given back.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "chaos/house.hpp"
#include "chaos/witness.hpp"
#include "chaos/world.hpp"
#include "support/random.hpp"

namespace muproc::test::chaos {

class Weather {
 public:
  Weather(Random& dice, House& house, const World& world, Witness& witness)
      : dice_(dice), house_(house), world_(world), witness_(witness) {}

  void storm(std::size_t events);
  /// What has happened so far, for people.
  const std::string& diary() const { return diary_; }

 private:
  struct Spell {
    std::size_t until;  // the event before which it is lifted
    std::function<void()> lift;
  };
  void strike(std::size_t now);
  void end_somebody();
  void stop(pid_t os_pid, const std::string& who, std::size_t until);
  void stop_the_broker();
  void leave_without_descriptors(pid_t os_pid, const std::string& who, std::size_t until);
  void forbid_births(std::size_t until);
  pid_t some_server(std::string& who);
  pid_t some_muproc(std::string& who);
  void note(const std::string& what) { diary_ += what + "; "; }

  Random& dice_;
  House& house_;
  const World& world_;
  Witness& witness_;
  std::vector<Spell> spells_;
  std::string diary_;
};

}  // namespace muproc::test::chaos
