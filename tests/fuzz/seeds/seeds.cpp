// Makes the seeds of the fuzz targets' corpora: fuzz_seeds FOLDER writes FOLDER/mumsg/…, FOLDER/control/… and so on. What
// fuzzers have found since lies beside them, in tests/fuzz/corpus.
#include <capnp/message.h>
#include <capnp/serialize.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "runtime/spec_writer.hpp"
#include "shm/layout.hpp"
#include "shm/ring.hpp"
#include "wire/codec.hpp"
#include "wire/control.capnp.h"
#include "wire/frame.hpp"

using namespace muproc;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

class Seeds {
 public:
  explicit Seeds(fs::path folder) : folder_(std::move(folder)) {}
  void add(const std::string& target, const std::string& name, const std::string& bytes) const {
    fs::create_directories(folder_ / target);
    std::ofstream(folder_ / target / name, std::ios::binary) << bytes;
  }

 private:
  fs::path folder_;
};

std::string bytes_of(kj::ArrayPtr<const capnp::word> words) {
  return {reinterpret_cast<const char*>(words.begin()), words.size() * sizeof(capnp::word)};
}

template <class T>
std::string message(const std::function<void(typename T::Builder)>& fill) {
  capnp::MallocMessageBuilder builder(1 << 16);
  fill(builder.initRoot<T>());
  return bytes_of(builder.getSegmentsForOutput()[0]);
}

std::string mumsg(const Mumsg& fields) {
  return message<wire::Mumsg>([&](auto builder) { wire::write(builder, fields); });
}

const std::pair<const char*, Mumsg> k_mumsgs[] = {
    {"empty", {}},
    {"square", {{"cmd", Symbol("square")}, {"x", 2.5}}},
    {"scalars",
     {{"nil", Value()},
      {"yes", true},
      {"n", std::int64_t{-7}},
      {"real", 1e300},
      {"text", "some text that is longer than a word"},
      {"pid", Pid(0, 3, 9)}}},
    {"nested",
     {{"list", List{1, "two", List{3.0, Mumsg{{"four", 4}}}}},
      {"mumsg", Mumsg{{"a", Mumsg{{"b", List{}}}}}},
      {"data", Data(20, std::byte{7})}}},
    {"reason", {{"terminated", Pid(0, 1, 1)}, {"reason", Reason::exit(Value("done"))}, {"ref", 17}}},
    {"structure", {{"quote", StructValue{42, {0, 1, 2}}}}},
};

// ---- rings ---------------------------------------------------------------------------------------------------------------

std::string record(shm::RecordKind kind, std::uint8_t flags, std::uint64_t type_id, const std::string& body) {
  shm::RecordHeader header{};
  header.words = static_cast<std::uint32_t>(body.size() / 8);
  header.kind = static_cast<std::uint8_t>(kind);
  header.flags = flags;
  header.target = 1;
  header.type_id = type_id;
  header.timestamp = 1;
  std::string out(shm::record_size(header.words), '\0');
  std::memcpy(out.data(), &header, sizeof header);
  std::memcpy(out.data() + sizeof header, body.data(), body.size());
  return out;
}

std::string large_table(std::uint32_t segments, std::uint32_t ticket, std::vector<shm::LargeSegment> list) {
  shm::LargeTable table{};
  table.segments = segments;
  table.ticket = ticket;
  std::string out(sizeof table + list.size() * sizeof(shm::LargeSegment), '\0');
  std::memcpy(out.data(), &table, sizeof table);
  if (!list.empty()) std::memcpy(out.data() + sizeof table, list.data(), list.size() * sizeof(shm::LargeSegment));
  return out;
}

void add_rings(const Seeds& seeds) {
  using Kind = shm::RecordKind;
  const std::uint64_t type = capnp::typeId<wire::Mumsg>();
  std::string all;
  for (const auto& [name, fields] : k_mumsgs) all += record(Kind::message, 0, type, mumsg(fields));
  seeds.add("ring", "mumsgs", all);
  const std::string reference(8, '\5');
  seeds.add("ring", "calls",
            record(Kind::call, shm::k_flag_reference, type, reference + mumsg(k_mumsgs[1].second)) +
                record(Kind::reply, shm::k_flag_reference, type, reference + mumsg(k_mumsgs[2].second)) +
                record(Kind::error, shm::k_flag_reference, type, reference));
  seeds.add("ring", "bytes",
            record(Kind::message, 0, muproc::detail::k_byte_message,
                   message<wire::Structure>([](auto s) { s.initWords(24); })));
  seeds.add("ring", "reason", record(Kind::message, 0, capnp::typeId<wire::Reason>(), message<wire::Reason>([](auto r) {
                                       wire::write(r, Reason::killed());
                                     })));
  seeds.add(
      "ring", "large",
      record(Kind::message, shm::k_flag_large, type, large_table(1, 0, {{0, 0, 0, 512}})) +
          record(Kind::message, shm::k_flag_large, type, large_table(2, 1, {{0, 0, 64, 8}, {1, 0, 0, 8}}) + mumsg({})));
  seeds.add("ring", "skip", record(Kind::message, 0, type, mumsg({})) + record(Kind::skip, 0, 0, ""));
}

// ---- control messages ----------------------------------------------------------------------------------------------------

std::string frame(const std::function<void(wire::ToBroker::Builder)>& fill) {
  capnp::MallocMessageBuilder builder;
  auto request = builder.initRoot<wire::ToBroker>();
  request.setId(1);
  fill(request);
  const auto words = capnp::messageToFlatArray(builder);
  const wire::FrameHeader header{wire::k_frame_magic, 0, words.size()};
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + bytes_of(words);
}

Supervisor a_tree() {
  ChildOptions options{.args = {{"n", 1}},
                       .bindings = {{"symbol", "VOD.L"}},
                       .env = {{"LANG", "C"}},
                       .cwd = "/tmp",
                       .restart = transient,
                       .stop = kill};
  options.backoff.initial = 1s;
  options.limits.memory = Bytes::mib(512);
  options.limits.cpus = {0};
  options.limits.nice = 5;
  options.limits.stack = Bytes::mib(8);
  options.log.level = LogLevel::warn;
  options.umask = 022;
  options.may_send = {"b"};
  options.sandbox = {.strict = true, .syscalls = {"kill"}, .network = true, .writable = {"/tmp"}};
  return supervisor(
      one_for_all, {2, 5s},
      {{"a", module("liba.so", "a"), options},
       {"inner", supervisor(rest_for_one, {1, 1s}, {{"b", exec({"b", "--fast"})}, {"c", exec_plain({"c"})}})}});
}

void add_control(const Seeds& seeds) {
  seeds.add("control", "hello",
            frame([](auto r) { r.initHello().setLayoutVersion(4); }) + frame([](auto r) { r.setReady(); }));
  seeds.add("control", "attach", frame([](auto r) {
              auto attach = r.initAttach();
              attach.setName("tester");
              attach.setMailbox(true);
            }));
  seeds.add("control", "exits",
            frame([](auto r) {
              wire::write(r.initExiting(), Reason::exit(Value(List{1, "two"})));
            }) + frame([](auto r) { wire::write(r.initExit().initReason(), Reason::signal(11, true)); }));
  seeds.add("control", "spawn",
            frame([](auto r) { muproc::detail::write_child(r.initSpawn().initChild(), a_tree().children[0]); }));
  seeds.add("control", "supervisor",
            frame([](auto r) { muproc::detail::write_supervisor(r.initStartSupervisor(), "s", a_tree()); }));
  seeds.add("control", "child", frame([](auto r) {
              auto start = r.initStartChild();
              start.initSupervisor().setName("s");
              muproc::detail::write_child(start.initChild(), a_tree().children[1]);
            }));
  seeds.add("control", "instance",
            frame([](auto r) { wire::write(r.initStartChild().initInstance().initArgs(), k_mumsgs[3].second); }));
  seeds.add("control", "reload", frame([](auto r) {
              auto settings = r.initReload().initSettings(1);
              settings[0].setName("NAME");
              settings[0].setValue("value");
            }));
  seeds.add("control", "many",
            frame([](auto r) { r.setDescribe("x"); }) + frame([](auto r) { r.setRegisterPort("p"); }) +
                frame([](auto r) { r.initOpenChannel().setRingSize(4096); }) +
                frame([](auto r) { r.initCorruptRecord().setWhat("nonsense"); }));
}

// ---- crash areas ---------------------------------------------------------------------------------------------------------

void add_crashes(const Seeds& seeds) {
  const auto block = std::make_unique<shm::CrashBlock>();
  std::memset(static_cast<void*>(block.get()), 0, sizeof *block);
  const auto input = [&](const std::string& maps) {
    const std::size_t size = offsetof(shm::CrashBlock, thread) + 2 * sizeof(shm::CrashThread);
    return std::to_string(size) + '\n' + std::string(reinterpret_cast<const char*>(block.get()), size) + maps;
  };
  seeds.add("crash", "nothing", input(""));
  std::strcpy(block->exception_type, "St13runtime_error");
  std::strcpy(block->exception_what, "out of bounds");
  seeds.add("crash", "exception", input(""));
  const std::string maps =
      "400000-401000 r--p 00000000 08:01 17  /nowhere/decoder\n401000-402000 r-xp 00001000 08:01 17  "
      "/nowhere/decoder\n";
  block->state = 2;
  block->threads = 2;
  block->signal = 11;
  block->code = 1;
  block->address = 0x40;
  block->modules = 1;
  block->maps_bytes = maps.size();
  block->module[0].base = 0x400000;
  block->module[0].build_id_size = 20;
  for (unsigned i = 0; i < 2; ++i) {
    shm::CrashThread& thread = block->thread[i];
    thread.state = 2;
    thread.tid = 100 + i;
    std::strcpy(thread.name, "decoder");
    thread.registers[7] = thread.stack_address = 0x7ffc00000000;
    thread.registers[16] = 0x401010;
    thread.stack_bytes = 256;
  }
  seeds.add("crash", "fault", input(maps));
  block->signal = 31;
  block->thread[0].registers[0] = 90;
  seeds.add("crash", "refused_call", input(maps));
}

// ---- configs -------------------------------------------------------------------------------------------------------------

void add_configs(const Seeds& seeds) {
  seeds.add("config", "small", "[supervisor.root]\nchildren = [\"x\"]\n[muproc.x]\nexec = [\"x\"]\n");
  seeds.add("config", "mistakes",
            "[supervisor.root]\nchildren = [\"x\", \"y\", \"root\"]\nlimt = 1\n[muproc.x]\nexec = \"x\"\nstop = "
            "5\n[muproc.z]\nmodule = \"m.so\"\n");
  seeds.add("config", "all", R"([system]
name = "market"
log = { level = "debug", console = false }
crash_reports = 7
metrics = "127.0.0.1:9464"
[defaults.muproc]
sandbox = { writable = ["/tmp"] }
[supervisor.root]
strategy = "one_for_all"
limit = { restarts = 5, within = "1m" }
auto_shutdown = "any_significant"
children = ["a", "inner"]
[supervisor.inner]
strategy = "simple_one_for_one"
template = "b"
[muproc.a]
module = "./liba.so"
entry = "a"
args = { n = 1, list = [1, 2.5, "three", { four = true }] }
bindings = { symbol = "${NAME:-none}" }
env = { LANG = "C" }
restart = "transient"
significant = true
stop = "10s"
ready = { on = "call", timeout = "10s" }
backoff = { initial = "100ms", max = "30s", factor = 2.0, jitter = 0.1, reset_after = "60s" }
mailbox = { ring = "256KiB", max_message = "1GiB", stash = "64MiB" }
limits = { memory = "512MiB", files = 1024, cpus = [0, 1], nice = 5, core = "0", stack = "unlimited", cpu_time = "1h" }
umask = "022"
may_send = ["b"]
may_control = false
trust = false
spares = 1
[muproc.b]
exec = ["./b", "--fast"]
watchdog = { interval = "2s" }
sandbox = "none"
)");
}

}  // namespace

int main(int argc, char* argv[]) {
  if (argc != 2) {
    std::fprintf(stderr, "Usage: fuzz_seeds FOLDER\n");
    return 2;
  }
  const Seeds seeds(argv[1]);
  for (const auto& [name, fields] : k_mumsgs) seeds.add("mumsg", name, mumsg(fields));
  add_rings(seeds);
  add_control(seeds);
  add_crashes(seeds);
  add_configs(seeds);
}
