// Code that travels between processes: as an entry's name, or as (build id, offset).
#include <muproc/detail/child.hpp>
#include <muproc/entry.hpp>
#include <muproc/self.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace muproc;
using namespace muproc::detail;

namespace {

int preloads_run = 0;

void entry_of_the_tests(Self&) {}
void preload_of_the_tests() { ++preloads_run; }
int somewhere_in_the_tests() { return 42; }

template <class F>
const void* address(F* function) {
  return reinterpret_cast<const void*>(function);
}

}  // namespace

MUPROC_ENTRY(entry_of_the_tests)
MUPROC_PRELOAD(preload_of_the_tests)

TEST_CASE("a function's address travels as its module's build id and an offset", "[entries]") {
  for (const void* function : {address(&somewhere_in_the_tests), address(&entry_of_the_tests), address(&gensym), address(&locate)}) {
    const CodeLocation location = locate(function);
    INFO(location.module);
    REQUIRE(location.build_id.size() == 20);
    CHECK(resolve(location.build_id.data(), location.build_id.size(), location.offset) == function);
  }
}

TEST_CASE("functions of the program and of a library have different build ids", "[entries]") {
  const CodeLocation here = locate(address(&somewhere_in_the_tests)), there = locate(address(&locate));
  CHECK(here.build_id != there.build_id);
  CHECK(here.module == "/proc/self/exe");
  CHECK(there.module.find("libmuproc") != std::string::npos);
}

TEST_CASE("code of a module that is not loaded cannot be found", "[entries]") {
  const CodeLocation here = locate(address(&somewhere_in_the_tests));
  std::vector<std::uint8_t> other = here.build_id;
  other[0] ^= 1;
  CHECK(resolve(other.data(), other.size(), here.offset) == nullptr);
  CHECK(resolve(here.build_id.data(), here.build_id.size() - 1, here.offset) == nullptr);
  CHECK(resolve(nullptr, 0, 0) == nullptr);
}

TEST_CASE("an offset outside its module leads nowhere", "[entries][hostile]") {
  const CodeLocation here = locate(address(&somewhere_in_the_tests));
  CHECK(resolve(here.build_id.data(), here.build_id.size(), std::uint64_t{1} << 40) == nullptr);
  CHECK(resolve(here.build_id.data(), here.build_id.size(), ~std::uint64_t{0}) == nullptr);
}

TEST_CASE("data is no code: an offset that cannot be run leads nowhere", "[entries][hostile]") {
  const CodeLocation variable = locate(&preloads_run);
  CHECK(resolve(variable.build_id.data(), variable.build_id.size(), variable.offset) == nullptr);
}

TEST_CASE("an address outside all modules has no location", "[entries]") {
  const auto heap = std::make_unique<int>(1);
  CHECK(locate(heap.get()).build_id.empty());
  CHECK(locate(nullptr).build_id.empty());
}

TEST_CASE("an image knows the build ids of its modules", "[entries]") {
  const auto ids = build_ids();
  for (const void* function : {address(&somewhere_in_the_tests), address(&locate)})
    CHECK(std::find(ids.begin(), ids.end(), locate(function).build_id) != ids.end());
}

TEST_CASE("an entry is found by the name of its function", "[entries]") {
  CHECK(find_entry("entry_of_the_tests") == &entry_of_the_tests);
  CHECK(find_entry("no_such_entry") == nullptr);
  const auto names = entry_names();
  CHECK(std::count(names.begin(), names.end(), "entry_of_the_tests") == 1);
}
