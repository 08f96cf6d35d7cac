// A system's folder and its lock.
#include "broker/runtime_dir.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "support/catch.hpp"
#include "support/process.hpp"
#include "support/waiting.hpp"

using namespace muproc;
using namespace muproc::broker;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

/// A fresh directory, gone with the test.
struct Base {
  fs::path path = make();
  ~Base() { fs::remove_all(path); }
  static fs::path make() {
    std::string name = (fs::temp_directory_path() / "muproc-test-XXXXXX").native();
    REQUIRE(::mkdtemp(name.data()));
    return name;
  }
};

std::string content(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

mode_t mode_of(const fs::path& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 0777;
}

}  // namespace

TEST_CASE("a system's folder is its user's alone, and says whose it is", "[broker][runtime_dir]") {
  const Base base;
  const RuntimeDir folder(base.path / "new", "super-1");
  CHECK(folder.folder() == base.path / "new" / "super-1");
  CHECK(mode_of(folder.folder()) == 0700);
  CHECK(mode_of(base.path / "new") == 0700);
  CHECK(content(folder.folder() / "lock") == std::to_string(::getpid()) + "\n");
  const auto socket = folder.listen();
  CHECK(mode_of(folder.folder() / "control.sock") == 0600);
}

TEST_CASE("an orderly end leaves the logs and nothing else", "[broker][runtime_dir]") {
  const Base base;
  {
    const RuntimeDir folder(base.path, "super-1");
    std::ofstream(folder.log_file()) << "something\n";
    const auto socket = folder.listen();
  }
  CHECK_FALSE(fs::exists(base.path / "super-1" / "control.sock"));
  CHECK(content(base.path / "super-1" / "lock").empty());
  CHECK(content(base.path / "super-1" / "logs" / "broker.log") == "something\n");
}

TEST_CASE("two brokers cannot run one system", "[broker][runtime_dir]") {
  const Base base;
  const RuntimeDir first(base.path, "super-1");
  const auto text = "\"super-1\" is running already: its broker is process " + std::to_string(::getpid());
  CHECK_THROWS_WITH(RuntimeDir(base.path, "super-1"), Contains(text));
  CHECK_NOTHROW(RuntimeDir(base.path, "super-2"));
}

TEST_CASE("the folder of a dead broker is taken over", "[broker][runtime_dir]") {
  const Base base;
  auto broker = test::Process::forked([&] {
    const RuntimeDir folder(base.path, "super-1");
    const auto socket = folder.listen();
    ::raise(SIGKILL);
    return 0;
  });
  CHECK(broker.wait() == 128 + SIGKILL);
  CHECK(fs::exists(base.path / "super-1" / "control.sock"));
  const RuntimeDir folder(base.path, "super-1");
  CHECK_NOTHROW(folder.listen());
}

TEST_CASE("a fresh broker waits until the remains of the former have gone", "[broker][runtime_dir]") {
  const Base base;
  fs::create_directories(base.path / "super-1");
  std::ofstream(base.path / "super-1" / "lock") << "999999999\n";
  sys::UniqueFd remains(::open((base.path / "super-1" / "lock").c_str(), O_RDWR | O_CLOEXEC));
  REQUIRE(::flock(remains.get(), LOCK_EX) == 0);

  SECTION("and says who they are when they do not go") {
    CHECK_THROWS_WITH(RuntimeDir(base.path, "super-1", 1ms),
                      Contains("its remains do not go") && Contains("is held by"));
  }
  SECTION("and goes on when they go") {
    bool has_waited = false;
    const RuntimeDir folder(base.path, "super-1", test::k_patience, [&](const std::string&) {
      has_waited = true;
      remains.reset();
    });
    CHECK(has_waited);
  }
}

TEST_CASE("what is in the way of the folder is named", "[broker][runtime_dir]") {
  const Base base;
  std::ofstream(base.path / "super-1") << "a file\n";
  CHECK_THROWS_WITH(RuntimeDir(base.path, "super-1"), Contains("super-1 is in the way"));
  CHECK_THROWS_WITH(RuntimeDir(base.path, "a/b"), Contains("no slash"));
  CHECK_THROWS_WITH(RuntimeDir(base.path, ""), Contains("needs a name"));
  CHECK_THROWS_WITH(RuntimeDir(base.path, "../x"), Contains("cannot be a system's name"));
  CHECK_THROWS_WITH(RuntimeDir(base.path / std::string(100, 'x'), "s").listen(), Contains("too long for a socket"));
}
