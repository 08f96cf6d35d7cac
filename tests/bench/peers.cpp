#include "bench/peers.hpp"

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

namespace muproc::bench {
namespace {

constexpr int k_rounds = 5;

struct Peer {
  const char* client;
  const char* what;
  const char* unit;
};
constexpr Peer k_peers[] = {
    {"pipe", "rtt", "ns"},          {"socket", "rtt", "ns"},          {"message_queue", "rtt", "ns"}, {"message_queue", "stream", "msg/s"},
    {"zeromq", "rtt", "ns"},        {"zeromq", "stream", "msg/s"},    {"iceoryx", "rtt", "ns"},       {"erlang", "rtt", "ns"},
    {"erlang", "stream", "msg/s"},  {"erlang", "down", "ns"},         {"erlang", "spawn", "ns"},      {"erlang", "restart", "ns"},
};

std::string output_of(const std::string& command) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(::popen(command.c_str(), "r"), +[](std::FILE* file) { return ::pclose(file); });
  if (!pipe) throw std::runtime_error("cannot run " + command);
  std::string out;
  char buffer[4096];
  for (std::size_t count; (count = std::fread(buffer, 1, sizeof buffer, pipe.get())) > 0;) out.append(buffer, count);
  return out;
}

Round play(const std::string& command, bool is_stream) {
  const std::string told = output_of(command);
  if (told.empty()) throw std::runtime_error("a peer measured nothing: " + command);
  return is_stream ? Round{std::stod(told)} : round_of(Histogram::parse(told));
}

}  // namespace

void add_peers(Rows& rows, Cores cores, const std::filesystem::path& folder) {
  for (const auto& [client, what, unit] : k_peers) {
    const std::filesystem::path program = folder / (std::string("peer_") + client);
    if (!std::filesystem::exists(program)) continue;
    const std::string on = std::to_string(cores.first) + ' ' + std::to_string(cores.second);
    const std::string command = "timeout 120 '" + program.string() + "' " + what + ' ' + on;
    const bool is_stream = what == std::string_view("stream");
    rows.push_back({.name = std::string("peer/") + client + '/' + what,
                    .unit = unit,
                    .round = [command, is_stream] { return play(command, is_stream); },
                    .most_rounds = k_rounds});
  }
}

}  // namespace muproc::bench
