// For tests whose threads wait for each other: one that hangs ends, and says what it was waiting for.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace muproc::test {

/// Ends the process, with what it waited for, when it is still there after `limit`.
class Watchdog {
 public:
  explicit Watchdog(std::string waiting_for, std::chrono::seconds limit = std::chrono::seconds(100))
      : waiting_for_(std::move(waiting_for)), thread_([this, limit] { watch(limit); }) {}
  ~Watchdog() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void watch(std::chrono::seconds limit) {
    std::unique_lock lock(mutex_);
    if (wake_.wait_until(lock, std::chrono::system_clock::now() + limit, [this] { return over_; })) return;
    std::fprintf(stderr, "watchdog: still waiting for %s\n", waiting_for_.c_str());
    std::abort();
  }

  std::string waiting_for_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace muproc::test
