#include "broker/spares.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

#include "sys/error.hpp"
#include "sys/proc.hpp"
#include "sys/process.hpp"

namespace muproc::broker {
namespace {

using namespace std::chrono_literals;

// After a birth: who was just born has its first messages to look at.
constexpr std::chrono::nanoseconds k_after_a_birth = 5ms;
// After an end: its supervisor may take a moment to start it again.
constexpr std::chrono::nanoseconds k_after_an_end = 50ms;
// For spares that end by themselves, or cannot be cloned: doubled each time.
constexpr std::chrono::nanoseconds k_first_pause = 1s, k_longest_pause = 60s;

}  // namespace

std::shared_ptr<Spare> Spares::take(SlotIndex slot, const Plan& plan) {
  const auto found = pools_.find(slot);
  if (found == pools_.end()) return nullptr;
  Pool& pool = found->second;
  if (!(pool.code == plan.code)) empty(pool);
  while (!pool.ready.empty()) {
    const SparePtr spare = pool.ready.front();
    pool.ready.erase(pool.ready.begin());
    if (sys::has_ended(spare->pidfd.get())) {  // we have not been told yet
      dying_.push_back(spare);
      continue;
    }
    spare->death.stop();
    pool.delay = k_after_a_birth;  // it was of use
    return spare;
  }
  return nullptr;
}

std::size_t Spares::count(SlotIndex slot) const {
  const auto found = pools_.find(slot);
  return found == pools_.end() ? 0 : found->second.ready.size();
}

/// Those of a slot whose muproc is down for good are wanted no more; between a death and a restart they are.
std::uint32_t Spares::wanted(SlotIndex slot) const {
  const SlotRecord& record = core_.table.record(slot);
  if (is_over_ || core_.is_stopping || !record.is_kept || !record.plan) return 0;
  if (record.plan->is_program() || record.plan->restart == Restart::temporary) return 0;
  switch (record.state) {
    case shm::SlotState::starting:
    case shm::SlotState::running:
    case shm::SlotState::backing_off: return record.plan->spares;
    case shm::SlotState::free:
    case shm::SlotState::draining:  // it will be stopped
    case shm::SlotState::stopping:
    case shm::SlotState::stopped:
    case shm::SlotState::failed: return 0;
  }
  return 0;
}

void Spares::look_at(SlotIndex slot) {
  if (!pools_.contains(slot)) {
    if (wanted(slot) == 0) return;
    pools_[slot].code = core_.table.record(slot).plan->code;
    pools_[slot].delay = k_after_a_birth;
  }
  Pool& pool = pools_[slot];
  if (!pool.later) pool.later = core_.loop.after(pool.delay, [this, slot] {
    pools_[slot].later.stop();
    pools_[slot].later = {};
    see_to(slot);
  });
}

void Spares::look_at_all() {
  if (pools_.empty() || tidying_) return;
  tidying_ = core_.loop.after(k_after_an_end, [this] {
    tidying_.stop();
    tidying_ = {};
    for (auto at = pools_.begin(); at != pools_.end();) {
      const auto here = at++;
      if (wanted(here->first) > 0) continue;
      empty(here->second);
      if (here->second.asked == 0) pools_.erase(here);
    }
  });
}

void Spares::see_to(SlotIndex slot) {
  Pool& pool = pools_[slot];
  const SlotRecord& record = core_.table.record(slot);
  const std::size_t most = wanted(slot);
  if (most > 0 && !(pool.code == record.plan->code)) {
    empty(pool);
    pool.code = record.plan->code;
  }
  while (pool.ready.size() > most) {
    drop(pool.ready.back());
    pool.ready.pop_back();
  }
  if (!record.life || !record.life->is_up()) return;  // it calls again when it is
  for (std::size_t missing = most - std::min(most, pool.ready.size() + pool.asked); missing > 0; --missing) ask(slot, pool);
}

void Spares::ask(SlotIndex slot, Pool& pool) {
  const auto spare = std::make_shared<Spare>();
  ++pool.asked;
  const auto done = [this, slot, spare, generation = pool.generation](const Cloned& result) { cloned(slot, generation, spare, result); };
  try {
    spare->output = logger_.make_pipes();
    spare->cgroup = core_.cgroups.make(core_.table.record(slot).name);
    auto [ours, childs] = sys::socket_pair();
    spare->control = std::move(ours);
    const auto output = std::move(spare->output.writes);  // the child's alone, once it is there
    zygotes_.clone_code(pool.code, {childs.get(), output[0].get(), output[1].get(), spare->cgroup ? spare->cgroup->folder() : std::string()}, done);
  } catch (const std::exception& failure) {
    done({0, failure.what()});
  }
}

void Spares::cloned(SlotIndex slot, std::uint64_t generation, const SparePtr& spare, const Cloned& result) {
  Pool& pool = pools_[slot];
  --pool.asked;
  if (!result.os_pid) return is_over_ ? void() : failed(slot, pool, result.error);
  try {
    spare->os_pid = result.os_pid;
    spare->cloned_by = result.cloned_by;
    spare->pidfd = sys::open_pidfd(spare->os_pid);
    watch(spare);
  } catch (const std::exception& failure) {
    end_stray(result.os_pid);
    return failed(slot, pool, failure.what());
  }
  has_begun(spare->os_pid);
  if (generation != pool.generation || pool.ready.size() >= wanted(slot)) return drop(spare), look_at(slot);
  pool.ready.push_back(spare);
  core_.log.debug("a spare of {} waits: process {}", core_.table.record(slot).name, spare->os_pid);
}

void Spares::failed(SlotIndex slot, Pool& pool, const std::string& why) {
  pool.delay = std::clamp(2 * pool.delay, k_first_pause, k_longest_pause);
  core_.log.warn("{} gets no spare: {}", core_.table.record(slot).name, why);
  look_at(slot);
}

void Spares::watch(const SparePtr& spare) {
  spare->death = core_.loop.when_readable(spare->pidfd.get(), [this, weak = std::weak_ptr(spare)] {
    if (const auto gone = weak.lock()) ended(gone);
  });
}

void Spares::discard(const SparePtr& spare) {
  sys::send_signal(spare->pidfd.get(), SIGKILL);
  reap(spare->os_pid, std::move(spare->pidfd));
}

/// A spare has nothing to end for: somebody else has ended it, or the kernel.
void Spares::ended(const SparePtr& spare) {
  spare->death.stop();
  core_.loop.bury(spare);
  reap(spare->os_pid, std::move(spare->pidfd));
  if (std::erase(dying_, spare) > 0) return;
  for (auto& [slot, pool] : pools_) {
    if (std::erase(pool.ready, spare) == 0) continue;
    pool.delay = std::clamp(2 * pool.delay, k_first_pause, k_longest_pause);
    core_.log.warn("a spare of {} has ended before it was of use: process {}", core_.table.record(slot).name, spare->os_pid);
    return look_at(slot);
  }
}

void Spares::drop(const SparePtr& spare) {
  sys::send_signal(spare->pidfd.get(), SIGKILL);
  dying_.push_back(spare);  // until its end is told
}

void Spares::empty(Pool& pool) {
  ++pool.generation;
  for (const SparePtr& spare : std::exchange(pool.ready, {})) drop(spare);
}

void Spares::drop_those_of(int zygote) {
  for (auto& [slot, pool] : pools_) {
    ++pool.generation;  // what is under way may be this zygote's
    std::erase_if(pool.ready, [&](const SparePtr& spare) {
      if (spare->cloned_by != zygote) return false;
      drop(spare);
      return true;
    });
    look_at(slot);
  }
}

void Spares::drop_all() {
  for (auto& [slot, pool] : pools_) {
    pool.later.stop();
    empty(pool);
  }
}

void Spares::stop() noexcept {
  is_over_ = true;
  tidying_.stop();
  drop_all();
  for (const SparePtr& spare : std::exchange(dying_, {})) {
    spare->death.stop();
    siginfo_t info{};
    while (sys::wait_for_child(spare->pidfd.get(), info) != 0 && errno == EINTR) {
    }
  }
}

}  // namespace muproc::broker
