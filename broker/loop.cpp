#include "broker/loop.hpp"

#include <kj/exception.h>
#include <kj/time.h>

#include <exception>
#include <stdexcept>
#include <utility>

#include "sys/fd.hpp"

namespace muproc::broker {

struct Watch::State {
  explicit State(Loop& of) : loop(of) {}
  Loop& loop;
  bool stopped = false;
  int fd = -1;
  kj::Own<kj::UnixEventPort::FdObserver> observer;
  // Writability is watched on a duplicate and only when somebody waits for it: else each frame that a peer reads would
  // wake the broker.
  sys::UniqueFd writable_fd;
  kj::Own<kj::UnixEventPort::FdObserver> write_observer;
  std::function<void()> call, writable;
  kj::Promise<void> timer = nullptr;  // destroyed with the watch, so that a cancelled time is forgotten
};

namespace {

constexpr auto k_writable_again = 10 * kj::MILLISECONDS;
// How late a timer is that goes off in a process that was away.
constexpr auto k_away = 100 * kj::MILLISECONDS;

/// KJ's exceptions are kept for malformed messages, which are their sender's fault; this would be ours.
kj::Own<kj::UnixEventPort::FdObserver> observe(kj::UnixEventPort& port, int fd, kj::uint flags) {
  try {
    return kj::heap<kj::UnixEventPort::FdObserver>(port, fd, flags);
  } catch (const kj::Exception& failure) {
    throw std::runtime_error(kj::str("epoll: ", failure.getDescription()).cStr());
  }
}

}  // namespace

Watch& Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    stop();
    state_ = std::move(other.state_);
  }
  return *this;
}

void Watch::stop() noexcept {
  if (!state_) return;
  state_->stopped = true;
  state_->observer = nullptr;  // now, while the descriptors are still open
  state_->write_observer = nullptr;
  Loop& loop = state_->loop;
  loop.bury(std::move(state_));  // later: this may be its own callback, and a running promise must not be destroyed
}

void Watch::when_writable(std::function<void()> call, bool is_starved) {
  if (!state_ || state_->writable) return;
  using Observer = kj::UnixEventPort::FdObserver;
  state_->writable = std::move(call);
  if (is_starved) return write_later();
  try {
    state_->writable_fd = sys::duplicate(state_->fd);
    state_->write_observer = observe(state_->loop.port_, state_->writable_fd.get(), Observer::OBSERVE_WRITE);
  } catch (const std::exception&) {
    return write_later();  // no descriptor is left: it is tried now and then
  }
  state_->loop.tasks_.add(state_->write_observer->whenBecomesWritable().then([weak = std::weak_ptr(state_)] {
    const auto alive = weak.lock();
    if (!alive || alive->stopped) return;
    alive->write_observer = nullptr;
    alive->writable_fd.reset();
    const auto writable = std::exchange(alive->writable, nullptr);
    alive->loop.call(writable);
  }));
}

void Watch::write_later() {
  state_->writable_fd.reset();
  state_->loop.tasks_.add(
      state_->loop.port_.getTimer().afterDelay(k_writable_again).then([weak = std::weak_ptr(state_)] {
        const auto alive = weak.lock();
        if (!alive || alive->stopped) return;
        const auto writable = std::exchange(alive->writable, nullptr);
        alive->loop.call(writable);
      }));
}

Loop::Loop() : io_(kj::setupAsyncIo()), port_(io_.unixEventPort), wait_scope_(io_.waitScope), tasks_(*this) {}

Loop::~Loop() noexcept {
  burial_pending_ = true;  // what dies now asks for no further burial
  while (!graveyard_.empty()) std::exchange(graveyard_, {}).clear();
}

/// Not reached but by a watch that was stopped: its promise is broken, and nobody misses it.
void Loop::taskFailed(kj::Exception&&) {}

void Loop::call(const std::function<void()>& function) noexcept {
  try {
    function();
  } catch (const kj::Exception& failure) {
    on_failure(kj::str(failure.getDescription()).cStr());
  } catch (const std::exception& failure) {
    on_failure(failure.what());
  }
}

kj::Promise<void> Loop::read_loop(std::shared_ptr<Watch::State> state) {
  return state->observer->whenBecomesReadable().then([this, weak = std::weak_ptr(state)]() -> kj::Promise<void> {
    const auto alive = weak.lock();
    if (!alive || alive->stopped) return kj::READY_NOW;
    call(alive->call);
    if (alive->stopped) return kj::READY_NOW;
    return read_loop(alive);
  });
}

Watch Loop::when_readable(int fd, std::function<void()> call) {
  auto state = std::make_shared<Watch::State>(*this);
  state->call = std::move(call);
  state->observer = observe(port_, fd, kj::UnixEventPort::FdObserver::OBSERVE_READ);
  state->fd = fd;
  tasks_.add(read_loop(state));
  return Watch(std::move(state));
}

Watch Loop::after(std::chrono::nanoseconds delay, std::function<void()> call) {
  return wait(delay, std::move(call), false);
}

Watch Loop::patience(std::chrono::nanoseconds delay, std::function<void()> call) {
  return wait(delay, std::move(call), true);
}

Watch Loop::wait(std::chrono::nanoseconds delay, std::function<void()> call, bool is_patient) {
  auto state = std::make_shared<Watch::State>(*this);
  state->call = std::move(call);
  // The timer's idea of now is as old as the last look at the descriptors: ask the clock, so as never to be early.
  const auto now = [] { return kj::systemPreciseMonotonicClock().now(); };
  const kj::Duration whole = delay.count() * kj::NANOSECONDS;
  const kj::TimePoint due = now() + whole;
  auto call_it = [this, weak = std::weak_ptr(state)] {
    const auto alive = weak.lock();
    if (alive && !alive->stopped) this->call(alive->call);
  };
  auto waiting = port_.getTimer().atTime(due);
  if (is_patient)
    waiting = waiting.then([this, now, whole, due]() -> kj::Promise<void> {
      const kj::Duration late = now() - due;
      if (late < k_away) return kj::READY_NOW;
      return port_.getTimer().atTime(now() + kj::min(late, whole));
    });
  state->timer = waiting.then(std::move(call_it)).eagerlyEvaluate([](kj::Exception&&) {});
  return Watch(std::move(state));
}

void Loop::when_idle(std::function<void()> function) {
  idle_call_ = std::move(function);
  if (std::exchange(idle_pending_, true)) return;
  tasks_.add(kj::evalLast([this] {
    idle_pending_ = false;
    call(std::exchange(idle_call_, nullptr));
  }));
}

void Loop::bury(std::shared_ptr<void> object) {
  graveyard_.push_back(std::move(object));
  if (std::exchange(burial_pending_, true)) return;
  tasks_.add(kj::evalLater([this] {
    burial_pending_ = false;
    std::exchange(graveyard_, {}).clear();
  }));
}

void Loop::run() {
  if (quitting_) return;
  auto pair = kj::newPromiseAndFulfiller<void>();
  quit_ = kj::mv(pair.fulfiller);
  pair.promise.wait(wait_scope_);
}

void Loop::quit() {
  quitting_ = true;
  if (quit_) quit_->fulfill();
}

}  // namespace muproc::broker
