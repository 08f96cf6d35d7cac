// The test cases of cl-muproc's generic server, each under its own name: key/value stores, of which test1 is the default.
#include <muproc/server.hpp>

#include <map>
#include <string>
#include <vector>

#include "support/system_fixture.hpp"

using namespace muproc;
using namespace muproc::test;

namespace {

class Store {
 public:
  Store(Self& self, std::string key, std::int64_t value) : self_(self), pairs_{{std::move(key), value}} {}

  std::int64_t store(const std::string& key, std::int64_t value) { return pairs_[key] = value; }
  void store_later(const std::string& key, std::int64_t value) { pairs_[key] = value; }
  std::optional<std::int64_t> lookup(std::string_view key) const {
    const auto found = pairs_.find(key);
    return found == pairs_.end() ? std::nullopt : std::optional(found->second);
  }
  std::vector<Reason> linked_exits() const { return linked_exits_; }
  std::string port() const { return server_port(self_); }
  void linked_exit(Pid, const Reason& reason) { linked_exits_.push_back(reason); }

 private:
  Self& self_;
  std::map<std::string, std::int64_t, std::less<>> pairs_;
  std::vector<Reason> linked_exits_;
};

constexpr Call<&Store::store> store{"store", "test1"};
constexpr Cast<&Store::store_later> store_later{"store_later", "test1"};
constexpr Call<&Store::lookup> lookup{"lookup", "test1"};
constexpr Call<&Store::linked_exits> linked_exits{"linked_exits", "test1"};
constexpr Call<&Store::port> port{"port", "test1"};

Pid start_store(Self& self, const std::string& name, const std::string& key = "defkey", std::int64_t value = 77,
                const std::string& port_name = {}) {
  return start_server<Store>(self, name, {store, store_later, lookup, linked_exits, port},
                             {.port = port_name, .trap_exits = true}, key, value);
}

}  // namespace

TEST_CASE("each of two servers keeps its own value under the same key", "[cl-muproc][TWO-INSTANCES-1]") {
  LiveSystem system;
  Self& self = system.self();
  start_store(self, "test1");
  start_store(self, "test2");
  CHECK(store(self, "test1", "key", 38) == 38);
  CHECK(store(self, "test2", "key", 76) == 76);
  CHECK(lookup(self, "test1", "key") == 38);
  CHECK(lookup(self, "test2", "key") == 76);
}

TEST_CASE("both of two servers keep what their constructors made", "[cl-muproc][TWO-INSTANCES-2]") {
  LiveSystem system;
  Self& self = system.self();
  start_store(self, "test1");
  start_store(self, "test2");
  store(self, "test1", "key", 38);
  store(self, "test2", "key", 76);
  CHECK(lookup(self, "test1", "defkey") == 77);
  CHECK(lookup(self, "test2", "defkey") == 77);
}

TEST_CASE("each server is made from its own arguments", "[cl-muproc][TWO-INSTANCES-3]") {
  LiveSystem system;
  Self& self = system.self();
  start_store(self, "test1", "key-1", 1);
  start_store(self, "test2", "key-2", 2);
  CHECK(lookup(self, "test1", "key-1") == 1);
  CHECK(lookup(self, "test1", "key-2") == std::nullopt);
  CHECK(lookup(self, "test2", "key-2") == 2);
  CHECK(lookup(self, "test2", "key-1") == std::nullopt);
}

// In the original DEFAULT-INSTANCE-1 and -2 have the same body.
TEST_CASE("a call that names no server goes to the default one only",
          "[cl-muproc][DEFAULT-INSTANCE-1][DEFAULT-INSTANCE-2]") {
  LiveSystem system;
  Self& self = system.self();
  for (const char* name : {"test1", "test2", "test3"}) start_store(self, name);
  CHECK(store(self, "key", 38) == 38);
  CHECK(lookup(self, "key") == 38);
  CHECK(lookup(self, "test1", "key") == 38);
  CHECK(lookup(self, "test2", "key") == std::nullopt);
  CHECK(lookup(self, "test3", "key") == std::nullopt);
}

TEST_CASE("a later call sees what earlier casts have written", "[cl-muproc][CAST-1]") {
  LiveSystem system;
  Self& self = system.self();
  for (const char* name : {"test1", "test2", "test3"}) start_store(self, name);
  for (int i = 0; i < 100; ++i) store_later(self, "key", i);
  store_later(self, "test2", "key", 76);
  CHECK(lookup(self, "key") == 99);
  CHECK(lookup(self, "test2", "key") == 76);
  CHECK(lookup(self, "test3", "key") == std::nullopt);
}

TEST_CASE("a port name may differ from the muproc's name, and both address the server", "[cl-muproc][PORT-NAME-1]") {
  LiveSystem system;
  Self& self = system.self();
  for (int i = 1; i <= 3; ++i)
    start_store(self, "test" + std::to_string(i), "defkey", 77, "port-" + std::to_string(i));
  for (int i = 1; i <= 3; ++i) {
    const std::string name = "test" + std::to_string(i), port_name = "port-" + std::to_string(i);
    CHECK(port(self, name) == port_name);
    CHECK(port(self, port_name) == port_name);
    CHECK(self.find(port_name) == self.find(name));
    store(self, port_name, "key", i);
    CHECK(lookup(self, name, "key") == i);
  }
}

TEST_CASE("a trapping server survives the ends of linked ones and hears all their reasons",
          "[cl-muproc][HANDLE-TERM-1]") {
  LiveSystem system;
  Self& self = system.self();
  start_store(self, "test1");
  for (const char* word : {"one", "two", "three"})
    self.spawn(
        word, +[](Self& self) {
          self.link("test1");
          self.send(self.parent(), "linked", true);
          self.receive(on<"cmd">(is("exit")) >> [&] { self.exit(self.name()); });
        });
  for (int i = 0; i < 3; ++i) next<bool, "linked">(self);
  for (const char* word : {"one", "two", "three"}) self.send(word, "cmd", "exit");
  std::vector<Reason> reasons;
  wait_until("all three reasons", [&] {
    reasons = linked_exits(self);
    return reasons.size() == 3;
  });
  for (const char* word : {"one", "two", "three"})
    CHECK(std::count(reasons.begin(), reasons.end(), Reason::exit(word)) == 1);
}
