// The broker: all its rooms, put together for one system, and the system's life from launch to end.
//
//     launching ── root supervisor up ──▶ running ── asked to stop, or the root has ended ──▶
//         stopping the tree (in reverse order) ──▶ stopping those who were spawned ──▶ outsiders leave ──▶ over
//
// `run` owns the calling thread. The seed is forked before anything else exists; nothing survives `run`: when it returns
// or throws, no process of the system is left, the lock is free and the socket is gone.
#pragma once

#include <atomic>
#include <memory>

#include "broker/spec.hpp"
#include "sys/fd.hpp"

namespace muproc::broker {

struct BrokerOptions {
  std::filesystem::path runtime_dir;
  std::filesystem::path module_dir;
  bool handle_signals = true;
  bool owns_process = false;  // nobody else has children in this process, nor anything to tell to a service manager
  bool virtual_time = false;
};

class Broker {
 public:
  /// A spec without a root runs until it is told to stop.
  Broker(SystemSpec spec, BrokerOptions options);
  ~Broker();

  int run();
  /// From any thread, or a signal handler.
  void stop() noexcept;

 private:
  class Run;
  SystemSpec spec_;
  BrokerOptions options_;
  sys::UniqueFd stop_requests_;
};

}  // namespace muproc::broker
