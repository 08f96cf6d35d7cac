// What a dead muproc may have scribbled into its crash area is copied, checked, and harms nobody.
#include "broker/crashes/crash_dump.hpp"

#include <unistd.h>

#include <cstring>
#include <vector>

#include "broker/crashes/crash_report.hpp"
#include "shm/layout.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "sys/fd.hpp"

using namespace muproc;
using namespace muproc::broker;
using Catch::Matchers::Contains;

namespace {

class Area {
 public:
  Area() { std::memset(static_cast<void*>(block.get()), 0, sizeof *block); }
  void write() { put(shm::k_crash_offset, block.get(), sizeof *block); }
  void put(std::size_t offset, const void* bytes, std::size_t size) {
    REQUIRE(::pwrite(memfd_.get(), bytes, size, static_cast<off_t>(offset)) == static_cast<ssize_t>(size));
  }
  std::optional<CrashDump> read() const { return read_crash_dump(memfd_.get()); }

  std::unique_ptr<shm::CrashBlock> block = std::make_unique<shm::CrashBlock>();

 private:
  sys::UniqueFd memfd_ = sys::create_memfd("test-segment", shm::k_segment_size);
};

}  // namespace

TEST_CASE("an untouched crash area says nothing", "[crash][shm]") {
  CHECK_FALSE(Area().read());
  const auto small = sys::create_memfd("test-segment", 4096);
  CHECK_FALSE(read_crash_dump(small.get()));
}

TEST_CASE("counts and sizes beyond what there can be are cut", "[crash][shm]") {
  Area area;
  area.block->state = 2;
  area.block->threads = 4'000'000'000;
  area.block->modules = 4'000'000'000;
  area.block->maps_bytes = ~std::uint64_t{0};
  std::memset(area.block->exception_type, 'x', sizeof area.block->exception_type);
  for (auto& thread : area.block->thread) {
    thread.state = 2;
    thread.stack_bytes = ~std::uint64_t{0};
    thread.stack_address = ~std::uint64_t{0} - 7;
    std::memset(thread.name, '\x1b', sizeof thread.name);
  }
  for (auto& module : area.block->module) module.build_id_size = 4'000'000'000;
  area.write();
  const auto dump = area.read();
  REQUIRE(dump);
  CHECK(dump->threads.size() == shm::k_crash_threads);
  CHECK(dump->modules.size() == shm::k_crash_modules);
  CHECK(dump->maps.size() == shm::k_crash_maps_size);
  CHECK(dump->threads[0].stack.size() == shm::k_crash_first_stack);
  CHECK(dump->threads[0].name.find('\x1b') == std::string::npos);
  CHECK(dump->modules[0].build_id.size() == shm::k_build_id_size);
  CHECK_FALSE(dump->threads[0].word_at(0));
  CHECK_FALSE(dump->threads[0].word_at(dump->threads[0].stack_address - 1));
}

TEST_CASE("whatever is written there, a report comes of it", "[crash][shm]") {
  muproc::test::Random random;
  INFO(random.how_to_repeat());
  for (int round = 0; round < 20; ++round) {
    Area area;
    auto* bytes = reinterpret_cast<unsigned char*>(area.block.get());
    for (std::size_t i = 0; i < sizeof *area.block; ++i) bytes[i] = static_cast<unsigned char>(random.bits());
    area.block->threads = 3;
    area.block->signal = static_cast<std::int32_t>(random.bits());
    for (int i = 0; i < 3; ++i) area.block->thread[i].state = 2;
    area.block->maps_bytes = 4096;
    std::string maps = "00400000-00500000 r-xp 00000000 08:01 12345 /no/such/file\n7fff0000-7fff8000 rw-p 00000000 00:00 0 [stack]\n";
    while (maps.size() < 4096) maps += static_cast<char>(random.bits());
    area.put(shm::k_crash_maps_offset, maps.data(), maps.size());
    area.write();
    CrashReport report;
    report.dump = area.read();
    REQUIRE(report.dump);
    report.unwound = unwind(*report.dump);
    CHECK_THAT(to_text(report), Contains("muproc"));
    CHECK_THAT(to_json(report), Contains("\"threads\""));
  }
}
