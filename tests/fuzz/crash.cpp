// What a dying muproc leaves for its crash report, when it has scribbled there: it is cut, looked at in copies, and told as
// text and as JSON that can be printed.
//
// An input is a line with a number, how many bytes of it are the crash block, then those, then as much of /proc/self/maps
// as there is; the rest of the block is zeros, and each thread's stack is the input once more.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/crashes/crash_dump.hpp"
#include "broker/crashes/crash_report.hpp"
#include "broker/crashes/unwinder.hpp"
#include "shm/layout.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"

using namespace muproc;
using namespace muproc::broker;

namespace {

/// A muproc's segment, of which only what is put there is written; it stays, since a fresh one costs more than an input.
class Segment {
 public:
  int memfd() const { return memfd_.get(); }
  void put(std::size_t offset, std::string_view bytes, std::size_t most) {
    bytes = bytes.substr(0, most);
    write(offset, bytes);
    written_.emplace_back(offset, bytes.size());
  }
  /// It is as fresh.
  void clear() {
    for (const auto& [offset, size] : written_) write(offset, std::string(size, '\0'));
    written_.clear();
  }

 private:
  void write(std::size_t offset, std::string_view bytes) {
    sys::check(::pwrite(memfd(), bytes.data(), bytes.size(), static_cast<off_t>(offset)), "pwrite");
  }

  sys::UniqueFd memfd_ = sys::create_memfd("fuzz-segment", shm::k_segment_size);
  std::vector<std::pair<std::size_t, std::size_t>> written_;
};

/// Maps of other files than code would be opened by their names.
bool names_only_modules(std::string_view maps) {
  for (std::size_t at = maps.find('/'); at != maps.npos; at = maps.find('/', at)) {
    const std::string_view path = maps.substr(at, maps.find('\n', at) - at);
    if (!path.starts_with("/nowhere/")) return false;
    at += path.size();
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.find('\n');
  if (line == input.npos) return 0;
  const std::size_t announced =
      std::strtoul(std::string(input.substr(0, std::min<std::size_t>(line, 8))).c_str(), nullptr, 10);
  const std::string_view rest = input.substr(line + 1),
                         block = rest.substr(0, std::min({announced, rest.size(), sizeof(shm::CrashBlock)})),
                         maps = rest.substr(block.size());
  if (!names_only_modules(maps)) return 0;
  static Segment segment;
  segment.put(shm::k_crash_offset, block, sizeof(shm::CrashBlock));
  segment.put(shm::k_crash_maps_offset, maps, shm::k_crash_maps_size);
  for (std::size_t thread = 0; thread < 2; ++thread)
    segment.put(shm::crash_stack_offset(thread), input, shm::crash_stack_size(thread));
  const auto dump = read_crash_dump(segment.memfd());
  segment.clear();
  if (!dump) return 0;
  CrashReport report;
  report.name = "fuzz";
  report.signal = dump->signal;
  report.dump = dump;
  report.unwound = unwind(*dump);
  for (const std::string& told : {to_text(report), to_json(report)})
    for (const char c : told)
      if (static_cast<unsigned char>(c) < ' ' && c != '\n') std::abort();  // no control character gets through
  return 0;
}
