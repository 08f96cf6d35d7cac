// Ending and beginning: kill, exit, start, stop, restart, drain, shutdown.
#include <fmt/format.h>

#include <muproc/reason.hpp>

#include "tools/common/failure.hpp"
#include "tools/common/json.hpp"
#include "tools/common/key_value.hpp"
#include "tools/common/text.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/codec.hpp"
#include "wire/node_words.hpp"

namespace muproc::tools {
namespace {

/// What was asked of whom; `text` says it to people.
std::string done(const Context& context, const char* verb, const std::string& name, Pid pid, const std::string& text) {
  if (!context.json) return text + '\n';
  JsonWriter json;
  json.begin_object().field("verb", verb).field("name", name);
  json.field("pid", pid ? std::optional(to_string(pid)) : std::nullopt).end_object();
  return json.take() + '\n';
}

/// One that lives, so that there is somebody to end.
Node find_living(const Nodes& nodes, const std::string& name) {
  const Node node = nodes.find(name);
  if (node.getPid() == 0) throw not_running(node);
  return node;
}

Reason reason_in(const std::string& text) {
  if (text == "normal") return Reason::normal();
  if (text == "shutdown") return Reason::shutdown();
  try {
    return Reason::exit(parse_value(text));
  } catch (const KeyValueError& failure) {
    throw Failure(ExitCode::usage, failure.what());
  }
}

const char* word(wire::ChildVerb::Verb verb) {
  switch (verb) {
    case wire::ChildVerb::Verb::START: return "start";
    case wire::ChildVerb::Verb::STOP: return "stop";
    case wire::ChildVerb::Verb::RESTART: return "restart";
    case wire::ChildVerb::Verb::DELETE: return "delete";
  }
  return "?";
}

}  // namespace

std::string kill(const Context& context, const std::string& name) {
  BrokerClient broker = context.broker();
  const Nodes nodes = broker.nodes();
  const Node node = find_living(nodes, name);
  broker.ask([&](wire::ToBroker::Builder request) { request.setKill(node.getPid()); });
  return done(context, "kill", name_of(node), Pid(node.getPid()), "killed " + title(node));
}

std::string exit(const Context& context, const std::string& name, const std::string& reason) {
  const Reason why = reason_in(reason);
  BrokerClient broker = context.broker();
  const Nodes nodes = broker.nodes();
  const Node node = find_living(nodes, name);
  broker.ask([&](wire::ToBroker::Builder request) {
    auto exit = request.initExit();
    exit.setTarget(node.getPid());
    wire::write(exit.initReason(), why);
  });
  return done(context, "exit", name_of(node), Pid(node.getPid()),
              fmt::format("told {} to end: {}", title(node), printable(to_string(why))));
}

std::string child_verb(const Context& context, const std::string& name, wire::ChildVerb::Verb verb) {
  BrokerClient broker = context.broker();
  const Nodes nodes = broker.nodes();
  const Node node = nodes.find(name);
  const std::string child = name_of(node);
  if (node.getParent().size() == 0)
    throw Failure(ExitCode::request_failed,
                  fmt::format("{} has no supervisor that could {} it; \"muctl exit\" ends it{}", title(node),
                              word(verb), wire::is_supervisor(node) ? ", \"muctl shutdown\" ends the system" : ""));
  const auto fill = [&](wire::ToBroker::Builder request) {
    auto asked = request.initChildVerb();
    asked.setName(wire::pointer(child));
    asked.setVerb(verb);
  };
  // It is done when the child has ended, or is ready: as long as its own stop and start take.
  auto answer = broker.ask(fill, context.timeout);
  const auto contents = answer.as<wire::FromBroker>();
  const Pid pid(contents.isPid() ? contents.getPid() : 0);
  const char* past = verb == wire::ChildVerb::Verb::STOP     ? "stopped"
                     : verb == wire::ChildVerb::Verb::DELETE ? "deleted"
                     : verb == wire::ChildVerb::Verb::START  ? "started"
                                                             : "restarted";
  return done(context, word(verb), child, pid,
              fmt::format("{} {}{}", past, printable(child), pid ? ' ' + to_string(pid) : ""));
}

std::string drain(const Context& context, const std::string& name) {
  BrokerClient broker = context.broker();
  const Nodes nodes = broker.nodes();
  const Node node = nodes.find(name);
  const std::string child = name_of(node);
  const auto fill = [&](wire::ToBroker::Builder request) {
    auto asked = request.initDrain();
    asked.setName(wire::pointer(child));
    asked.setLimitNs(context.timeout ? context.timeout->count() : -1);
  };
  broker.ask(fill, Patience());  // the broker counts the time, and then the stop takes what it takes
  return done(context, "drain", child, {}, fmt::format("drained and stopped {}", printable(child)));
}

std::string shut_down(const Context& context, bool wait) {
  BrokerClient broker = context.broker();
  broker.ask([](wire::ToBroker::Builder request) { request.setShutdown(); });
  if (wait && !broker.wait_until_gone(context.timeout))
    throw Failure(ExitCode::timeout, fmt::format("{} has not ended within {}; it goes on ending", broker.system(),
                                                 short_duration(*context.timeout)));
  const std::string text = broker.system() + (wait ? " has ended" : " is ending");
  return done(context, "shutdown", broker.system(), {}, text);
}

}  // namespace muproc::tools
