// Bytes that may be written while they are read. They are loaded and stored word by word, and a version that the writer
// counts up tells the reader afterwards whether what it has got is whole. The reader never waits for the writer.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace muproc::shm {

inline std::atomic_ref<std::uint64_t> word_at(const void* at) {
  return std::atomic_ref<std::uint64_t>(*static_cast<std::uint64_t*>(const_cast<void*>(at)));
}

template <class T>
T load_words(const T& from) {
  static_assert(sizeof(T) % 8 == 0);
  T copy;
  for (std::size_t i = 0; i < sizeof(T); i += 8) {
    const std::uint64_t word = word_at(reinterpret_cast<const char*>(&from) + i).load(std::memory_order_relaxed);
    std::memcpy(reinterpret_cast<char*>(&copy) + i, &word, 8);
  }
  return copy;
}

/// The writer's side. The fence comes after the store that takes these bytes out of use, so that a reader who sees any of
/// the new ones sees that too.
template <class T>
void store_words(T& to, const T& from) {
  static_assert(sizeof(T) % 8 == 0);
  std::atomic_thread_fence(std::memory_order_release);
  for (std::size_t i = 0; i < sizeof(T); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, reinterpret_cast<const char*>(&from) + i, 8);
    word_at(reinterpret_cast<char*>(&to) + i).store(word, std::memory_order_relaxed);
  }
}

}  // namespace muproc::shm
