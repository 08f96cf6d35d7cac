// Drives a fuzz target without a fuzzer: runs it over files and folders of files, so that what a fuzzer has found stays
// tested; and with --seconds N goes on for so long with what it makes of those files by lot.
//
// The lot is no fuzzer's: it does not see which code was reached. It finds what is shallow, everywhere and without clang.
// An input that ends the process is left in crash-input beside the working directory's other files.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;

// What is tried now, for the handler.
const std::uint8_t* tried = nullptr;
std::size_t tried_size = 0;

void leave_input(int signal) {
  const int file = ::open("crash-input", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file >= 0) [[maybe_unused]]
    const ssize_t written = ::write(file, tried, tried_size);
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

void run(const Input& input) {
  tried = input.data();
  tried_size = input.size();
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

Input read(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class Lot {
 public:
  explicit Lot(std::vector<Input> seeds) : seeds_(std::move(seeds)) {
    if (seeds_.empty()) seeds_.emplace_back();
  }

  Input draw() {
    Input input = one();
    for (std::size_t n = 1 + below(8); n > 0; --n) change(input);
    if (input.size() > k_longest) input.resize(k_longest);
    return input;
  }

 private:
  static constexpr std::size_t k_longest = 1 << 16;

  std::uint64_t below(std::uint64_t end) { return end ? engine_() % end : 0; }
  const Input& one() { return seeds_[below(seeds_.size())]; }

  void change(Input& input) {
    const std::size_t at = below(input.size() + 1);
    const std::size_t length = std::min<std::size_t>(1 + below(16), input.size() - at);
    const auto begin = input.begin() + static_cast<std::ptrdiff_t>(at);
    switch (below(8)) {
      case 0:  // a bit
        if (at < input.size()) input[at] ^= static_cast<std::uint8_t>(1 << below(8));
        return;
      case 1:  // a byte
        if (at < input.size()) input[at] = static_cast<std::uint8_t>(engine_());
        return;
      case 2: {  // a number that is at some border
        constexpr std::uint64_t k_borders[] = {0,
                                               1,
                                               7,
                                               8,
                                               63,
                                               64,
                                               0x7f,
                                               0x80,
                                               0xff,
                                               0xffff,
                                               0x7fffffff,
                                               0x80000000,
                                               0xffffffff,
                                               ~std::uint64_t{0} >> 1,
                                               ~std::uint64_t{0}};
        const std::uint64_t number = k_borders[below(std::size(k_borders))] + below(3) - 1;
        const std::size_t size = std::min<std::size_t>(std::size_t{1} << below(4), input.size() - at);
        if (size) std::memcpy(&*begin, &number, size);
        return;
      }
      case 3: input.erase(begin, begin + static_cast<std::ptrdiff_t>(length)); return;
      case 4: input.insert(begin, 1 + below(16), static_cast<std::uint8_t>(engine_())); return;
      case 5: {  // a piece of another
        const Input other = one();
        if (other.empty()) return;
        const std::size_t from = below(other.size()), size = 1 + below(other.size() - from);
        input.insert(begin, other.begin() + static_cast<std::ptrdiff_t>(from),
                     other.begin() + static_cast<std::ptrdiff_t>(from + size));
        return;
      }
      case 6: {  // said twice
        const Input piece(begin, begin + static_cast<std::ptrdiff_t>(length));
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(below(input.size() + 1)), piece.begin(), piece.end());
        return;
      }
      default: input.resize(below(input.size() + 1)); return;
    }
  }

  std::vector<Input> seeds_;
  std::mt19937_64 engine_{std::random_device{}()};
};

}  // namespace

int main(int argc, char* argv[]) {
  std::chrono::seconds seconds{0};
  std::vector<Input> inputs;
  const auto replay = [&](const std::filesystem::path& file) {
    inputs.push_back(read(file));
    std::printf("%s: %zu bytes\n", file.c_str(), inputs.back().size());
    std::fflush(stdout);  // it may be the last line
    run(inputs.back());
  };
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) std::signal(signal, leave_input);
  LLVMFuzzerTestOneInput(nullptr, 0);
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--seconds" && i + 1 < argc) {
      seconds = std::chrono::seconds(std::strtol(argv[++i], nullptr, 10));
    } else if (std::filesystem::is_directory(argv[i])) {
      for (const auto& entry : std::filesystem::directory_iterator(argv[i])) replay(entry.path());
    } else {
      replay(argv[i]);
    }
  }
  Lot lot(std::move(inputs));
  std::uint64_t runs = 0;
  for (const auto end = std::chrono::steady_clock::now() + seconds; std::chrono::steady_clock::now() < end; ++runs)
    run(lot.draw());
  if (seconds.count() > 0) std::printf("%llu inputs by lot\n", static_cast<unsigned long long>(runs));
}
