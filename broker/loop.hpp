// The rim between KJ's event loop and the broker's plain code: descriptors and delays in, callbacks out.
//
// Everything in the broker runs as a callback from here, one at a time, on the thread that made the loop; nothing
// blocks. A `Watch` is the right to be called back, and ends with its object, which may happen inside its own callback.
// A callback that throws is reported to `on_failure` and has no other effect: a muproc that confuses the broker in one
// place must not end everybody else.
//
// Readiness is edge-triggered, as KJ has it: a callback reads until there is nothing left.
#pragma once

#include <kj/async-io.h>
#include <kj/async-unix.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace muproc::broker {

class Loop;

class Watch {
 public:
  Watch() = default;
  Watch(Watch&&) noexcept = default;
  Watch& operator=(Watch&& other) noexcept;
  ~Watch() { stop(); }

  explicit operator bool() const { return state_ != nullptr; }
  void stop() noexcept;
  /// Calls back once, when the descriptor takes more bytes: after a write that it did not take. Where there is no
  /// descriptor left to watch with, a little later, whether it does or not; and so where it is not for want of room that it
  /// did not take them, but `is_starved`, as a FrameSocket says of itself.
  void when_writable(std::function<void()> call, bool is_starved);

 private:
  friend class Loop;
  void write_later();
  struct State;
  explicit Watch(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

class Loop final : private kj::TaskSet::ErrorHandler {
 public:
  Loop();
  ~Loop() noexcept;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// Calls back each time something can be read. The descriptor outlives the watch.
  [[nodiscard]] Watch when_readable(int fd, std::function<void()> call);
  /// Calls back once, not before `delay` has passed.
  [[nodiscard]] Watch after(std::chrono::nanoseconds delay, std::function<void()> call);
  /// Likewise, for what others are given time for: when this process itself has been away meanwhile (stopped, or without a
  /// processor), it first hears what they have said since, and waits on for as long as it was late, at most `delay`.
  [[nodiscard]] Watch patience(std::chrono::nanoseconds delay, std::function<void()> call);
  /// Calls back when there is nothing else to do. Several calls in a row ask for one call.
  void when_idle(std::function<void()> call);
  /// Destroys the object once no callback is running.
  void bury(std::shared_ptr<void> object);

  /// Runs callbacks until `quit`.
  void run();
  void quit();

  /// For what KJ itself speaks, as HTTP. Valid as long as the loop is.
  kj::AsyncIoContext& io() { return io_; }

  std::function<void(const std::string& what)> on_failure = [](const std::string&) {};

 private:
  friend class Watch;
  kj::Promise<void> read_loop(std::shared_ptr<Watch::State> state);
  Watch wait(std::chrono::nanoseconds delay, std::function<void()> call, bool is_patient);
  void call(const std::function<void()>& function) noexcept;
  void taskFailed(kj::Exception&& failure) override;

  kj::AsyncIoContext io_;
  kj::UnixEventPort& port_;
  kj::WaitScope& wait_scope_;
  std::vector<std::shared_ptr<void>> graveyard_;
  std::function<void()> idle_call_;
  kj::Own<kj::PromiseFulfiller<void>> quit_;
  kj::TaskSet tasks_;
  bool burial_pending_ = false, idle_pending_ = false, quitting_ = false;
};

}  // namespace muproc::broker
