#include "shm/dead_letters.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "shm/counter.hpp"
#include "shm/words.hpp"

namespace muproc::shm {
namespace {

std::uint64_t load(const AtomicU64& word) { return word.load(std::memory_order_relaxed); }

template <std::size_t N>
void copy_text(char (&to)[N], std::string_view text) {
  std::memcpy(to, text.data(), std::min(text.size(), N - 1));
}

/// Cut at its size, whatever the bytes are.
template <std::size_t N>
std::string text_in(const char (&bytes)[N]) {
  return {bytes, std::find(bytes, bytes + N, '\0')};
}

/// Its own, a free one, or the one for all others.
DropTarget& target(DeadLetterBox& box, Pid to) {
  if (to)
    for (std::uint32_t i = 1; i < k_drop_targets; ++i) {
      const std::uint64_t known = load(box.targets[i].to);
      if (known == 0) box.targets[i].to.store(to.bits(), std::memory_order_release);
      if (known == 0 || known == to.bits()) return box.targets[i];
    }
  return box.targets[0];
}

std::optional<DroppedMessage> read_entry(const DeadLetter& entry, std::uint64_t number) {
  // [SYNC dead_letter.number]
  if (entry.number.load(std::memory_order_acquire) != number) return std::nullopt;
  const DeadLetterInfo info = load_words(entry.info);
  std::atomic_thread_fence(std::memory_order_acquire);
  if (load(entry.number) != number) return std::nullopt;
  if (info.drop >= k_drops || info.kind > static_cast<std::uint32_t>(RecordKind::error)) return std::nullopt;
  return DroppedMessage{static_cast<Drop>(info.drop), Pid(info.from), Pid(info.to), static_cast<RecordKind>(info.kind),
                        info.type_id, text_in(info.name), text_in(info.text), info.wall_ns};
}

}  // namespace

void count(DeadLetterBox& box, Drop why, Pid to, std::uint64_t messages) {
  add(box.counts[static_cast<std::uint32_t>(why)], messages);
  add(target(box, to).count, messages);
}

void note(DeadLetterBox& box, const DroppedMessage& dropped) {
  count(box, dropped.why, dropped.to, 1);
  const std::uint64_t number = load(box.number) + 1;
  DeadLetter& entry = box.last[(number - 1) % k_dead_letters];
  DeadLetterInfo info{dropped.from.bits(), dropped.to.bits(), dropped.type_id, dropped.wall_ns, static_cast<std::uint32_t>(dropped.why),
                      static_cast<std::uint32_t>(dropped.kind), {}, {}};
  copy_text(info.name, dropped.name);
  copy_text(info.text, dropped.text);
  entry.number.store(0, std::memory_order_relaxed);
  store_words(entry.info, info);
  entry.number.store(number, std::memory_order_release);  // [SYNC dead_letter.number]
  box.number.store(number, std::memory_order_release);
}

DeadLettersRead read(const DeadLetterBox& box) {
  DeadLettersRead seen;
  for (std::uint32_t i = 0; i < k_drops; ++i) seen.counts[i] = load(box.counts[i]);
  for (const DropTarget& target : box.targets)
    if (const std::uint64_t count = load(target.count))
      seen.targets.emplace_back(&target == box.targets ? Pid() : Pid(target.to.load(std::memory_order_acquire)), count);
  const std::uint64_t latest = box.number.load(std::memory_order_acquire);
  for (std::uint64_t number = latest > k_dead_letters ? latest - k_dead_letters + 1 : 1; number <= latest && number != 0; ++number)
    if (auto message = read_entry(box.last[(number - 1) % k_dead_letters], number)) seen.last.push_back(std::move(*message));
  return seen;
}

}  // namespace muproc::shm
