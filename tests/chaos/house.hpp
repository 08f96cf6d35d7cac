// A world's system, launched by mubroker as a user would launch it, and the handles by which weather gets at its processes.
//
// Where the test is root's, the house is another user's: the kernel limits nobody's processes but an ordinary user's.
#pragma once

#include <muproc/testing.hpp>

#include <filesystem>
#include <string>
#include <vector>

#include "chaos/world.hpp"

namespace muproc::test::chaos {

class House {
 public:
  explicit House(const World& world);
  ~House();
  House(const House&) = delete;
  House& operator=(const House&) = delete;

  /// What attach() and muctl take for the system.
  std::string system() const { return (place_ / "chaos").string(); }
  Process& broker() { return *broker_; }
  pid_t os_pid() const { return broker_->os_pid(); }
  std::vector<pid_t> servers(const std::string& comm) const;
  /// Whether the kernel holds its processes to RLIMIT_NPROC.
  bool is_an_ordinary_users() const { return is_an_ordinary_users_; }

 private:
  std::filesystem::path place_;
  bool is_an_ordinary_users_ = false;
  std::optional<Process> broker_;
};

}  // namespace muproc::test::chaos
