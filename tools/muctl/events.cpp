#include <fmt/format.h>

#include <iostream>
#include <optional>

#include "tools/common/failure.hpp"
#include "tools/common/text.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/codec.hpp"
#include "wire/printable.hpp"

namespace muproc::tools {
namespace {

std::string text_of(wire::Event::Reader event) {
  std::string who = event.getName().size() > 0 ? printable(wire::view(event.getName())) : "system";
  if (event.getPid()) who += " " + to_string(Pid(event.getPid()));
  const auto reason = printable(wire::view(event.getReason()));
  return fmt::format("{} {:<12} {}: {}{}", local_time(event.getWallNs()), printable(wire::view(event.getKind())), who,
                     printable(wire::view(event.getText())), reason.empty() || event.getKind() == "start_failed" ? "" : ": " + reason);
}

/// One object a line, so that it can be followed.
std::string json_of(wire::Event::Reader event) {
  std::string json = fmt::format("{{\"number\": {}, \"time_ns\": {}", event.getNumber(), event.getWallNs());
  const auto field = [&](const char* name, std::string_view text) {
    json += fmt::format(", \"{}\": ", name);
    text.empty() ? void(json += "null") : wire::append_json_text(json, text);
  };
  field("kind", wire::view(event.getKind()));
  field("name", wire::view(event.getName()));
  field("pid", event.getPid() ? to_string(Pid(event.getPid())) : "");
  json += event.getOsPid() ? fmt::format(", \"os_pid\": {}", event.getOsPid()) : ", \"os_pid\": null";
  field("text", wire::view(event.getText()));
  field("reason", wire::view(event.getReason()));
  return json + '}';
}

}  // namespace

std::string events(const Context& context, bool follow) {
  BrokerClient broker = context.broker();
  std::uint64_t last = 0;
  for (bool wait = false;; wait = true) {
    const auto fill = [&](wire::ToBroker::Builder to) {
      auto request = to.initEvents();
      request.setNumber(last);
      request.setWait(follow);
    };
    std::optional<wire::Frame> answer;
    try {
      answer.emplace(broker.ask(fill, wait ? Patience() : Patience(context.short_patience())));
    } catch (const Failure&) {
      if (wait && broker.wait_until_gone(std::chrono::nanoseconds(0))) return {};  // the system has ended
      throw;
    }
    wire::Frame& reply = *answer;
    const auto events = reply.as<wire::FromBroker>().getEvents();
    for (const auto event : events) {
      if (last && event.getNumber() != last + 1) std::cerr << fmt::format("muctl: {} events came too fast and are missing here\n", event.getNumber() - last - 1);
      last = event.getNumber();
      std::cout << (context.json ? json_of(event) : text_of(event)) << '\n';
      follow = follow && event.getKind() != "end";
    }
    std::cout << std::flush;
    if (!follow || !std::cout) return {};
  }
}

}  // namespace muproc::tools
