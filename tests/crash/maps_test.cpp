// Who can write what: in a running system each segment is mapped writable by its owner, and nobody can change that.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "crash/scribbler.hpp"
#include "support/catch.hpp"
#include "support/messages.capnp.h"
#include "support/sealed.hpp"
#include "support/system_fixture.hpp"
#include "tools/common/broker_memory.hpp"

using namespace muproc;
using namespace muproc::test;
namespace fs = std::filesystem;

namespace {

/// Passes on what it gets, small and large, in a ring of three; has a Sender, and has forked.
void passes_on(Self& self) {
  const auto to = self.args()["to"].as<std::string>();
  Sender sender = self.sender();
  std::thread([&] { sender.send("tester", "from-a-thread", self.name()); }).join();
  if (::fork() == 0)
    for (;;) ::pause();
  for (;;)
    self.receive(on<"n">() >> [&](int n) { self.send(n > 0 ? to : "tester", n > 0 ? "n" : "round", n - 1); },
                 on<"try">() >> [&](bool) {
                   // All that it can see of others it wants to write.
                   int written = 0, tried = 0;
                   const sys::UniqueFd memory(::open("/proc/self/mem", O_RDWR | O_CLOEXEC));
                   for (const SharedMap& map : shared_maps(::getpid())) {
                     if (map.is_writable || tools::owner_of_memfd("/memfd:" + map.name) == self.pid()) continue;
                     ++tried;
                     written += ::mprotect(map.begin, 4096, PROT_READ | PROT_WRITE) == 0;
                     void* again = ::mremap(map.begin, 0, 4096, MREMAP_MAYMOVE);
                     if (again != MAP_FAILED) written += ::mprotect(again, 4096, PROT_READ | PROT_WRITE) == 0;
                     const auto address = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(map.begin));
                     written += memory && ::pwrite(memory.get(), "x", 1, address) == 1;
                   }
                   self.send("tester", "tried", tried, "written", written);
                 });
}

void holds_a_large_message(Self& self) {
  self.receive(on<Blob>() >> [&](Blob::Reader blob) {
    self.send("tester", "holds", blob.getData().size());
    self.receive(on<"never">() >> [] {});
  });
}

std::vector<int> processes_of(int broker) {
  std::vector<int> all{broker, ::getpid()};
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::ifstream children("/proc/" + std::to_string(all[i]) + "/task/" + std::to_string(all[i]) + "/children");
    for (int child; children >> child;)
      if (child != broker) all.push_back(child);
  }
  return all;
}

class Ring {
 public:
  Ring() {
    const char* names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; ++i) {
      pids_.push_back(self().spawn(names[i], passes_on, {.args = {{"to", names[(i + 1) % 3]}}}));
      next<std::string, "from-a-thread">(self());
    }
    self().spawn("plain", exec_plain({"sleep", "1000"}));
    self().send("a", "n", 20);
    next<int, "round">(self());
    // Larger than an arena: it lies in an extent.
    self().spawn("holder", holds_a_large_message);
    self().send<Blob>("holder", [](Blob::Builder blob) { blob.initData(70u << 20); });
    next<int, "holds">(self());
  }
  LiveSystem& system() { return system_; }
  Self& self() { return system_.self(); }
  const std::vector<Pid>& pids() const { return pids_; }

 private:
  LiveSystem system_{TestOptions{.log = LogLevel::off}};
  std::vector<Pid> pids_;
};

}  // namespace

TEST_CASE("each segment is writable in its owner's process, and in no other of a running system", "[crash][seal]") {
  Ring ring;
  std::map<std::uint64_t, std::set<int>> writers, readers;
  std::map<std::uint64_t, std::string> names;
  const int broker = ring.system().broker().os_pid();
  for (const int process : processes_of(broker))
    for (const SharedMap& map : shared_maps(process)) {
      (map.is_writable ? writers : readers)[map.inode].insert(process);
      names[map.inode] = map.name;
    }
  std::size_t segments = 0, extents = 0, directories = 0;
  for (const auto& [inode, processes] : writers) {
    INFO(names[inode]);
    CHECK(processes.size() == 1);
    const auto owner = tools::owner_of_memfd("/memfd:" + names[inode]);
    segments += owner.has_value();
    extents += names[inode].starts_with("muproc-extent");
    if (names[inode].starts_with("muproc-directory")) {
      ++directories;
      CHECK(*processes.begin() == broker);
    } else {
      CHECK(*processes.begin() != broker);
    }
    if (owner && std::find(ring.pids().begin(), ring.pids().end(), *owner) != ring.pids().end())
      CHECK(*processes.begin() == os_pid_of(ring.self(), *owner));
  }
  CHECK(segments >= 4 + 3);  // theirs, the test's, and those of the threads
  CHECK(directories == 1);
  CHECK(extents >= 1);
  CHECK(readers.size() >= segments);
}

TEST_CASE("no map, no descriptor and no way through /proc lets anybody write another's segment", "[crash][seal]") {
  Ring ring;
  Self& self = ring.self();
  SECTION("a muproc tries, with all that it has") {
    for (const Pid pid : ring.pids()) {
      self.send(pid, "try", true);
      int tried = 0;
      self.receive(on<"tried", "written">() >> [&](int t, int written) {
        tried = t;
        CHECK(written == 0);
      }, or_fail("what came of trying"));
      CHECK(tried >= 3);  // its two neighbours, and the directory
    }
  }
  SECTION("somebody with the same rights tries, root if the test is root's, with each descriptor that anybody has") {
    std::set<std::string> tried;
    for (const int process : processes_of(ring.system().broker().os_pid())) {
      std::error_code gone;
      for (const auto& fd : fs::directory_iterator("/proc/" + std::to_string(process) + "/fd", gone)) {
        const std::string target = fs::read_symlink(fd.path(), gone).native();
        if (!target.starts_with("/memfd:muproc") || !tried.insert(target).second) continue;
        const sys::UniqueFd memfd(::open(fd.path().c_str(), O_RDWR | O_CLOEXEC));
        if (!memfd) continue;
        INFO(target);
        check_nobody_can_write(memfd.get());
      }
    }
    CHECK(tried.size() >= 5);  // the directory, the ring's segments, the test's own
  }
}
