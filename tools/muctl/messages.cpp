// send and call: as a temporary muproc among the others.
#include <fmt/format.h>

#include <muproc/muproc.hpp>

#include "tools/common/failure.hpp"
#include "tools/common/key_value.hpp"
#include "tools/common/text.hpp"
#include "tools/common/to_json.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/node_words.hpp"

namespace muproc::tools {
namespace {

using namespace std::chrono_literals;

constexpr auto k_call_patience = 5s;

Mumsg fields_in(const std::vector<std::string>& words) {
  try {
    return parse_fields(words);
  } catch (const KeyValueError& failure) {
    throw Failure(ExitCode::usage, failure.what());
  }
}

/// Whom a message goes to: that incarnation, no later one.
struct Receiver {
  Pid pid;
  std::string name, title;
  std::filesystem::path folder;
};

Receiver find_receiver(const Context& context, const std::string& name) {
  BrokerClient broker = context.broker();
  const Nodes nodes = broker.nodes();
  const Node node = nodes.find(name);
  if (!wire::has_mailbox(node))
    throw Failure(ExitCode::request_failed, fmt::format("{} is a {} and has no mailbox; \"muctl ps\" shows who has one: the muprocs", title(node),
                                                        wire::is_supervisor(node) ? "supervisor" : "plain program"));
  if (node.getPid() == 0) throw not_running(node);
  return {Pid(node.getPid()), name_of(node), title(node), broker.folder()};
}

/// `body(self)` as a muproc that joins the system for this purpose.
template <class Body>
auto joined(const Context& context, const Receiver& receiver, Body&& body) {
  try {
    Attachment self = attach(receiver.folder.string(), {.timeout = context.short_patience()});
    return body(*self);
  } catch (const ExitSignal& signal) {
    throw Failure(signal.reason.is(Reason::Kind::broker_lost) ? ExitCode::no_system : ExitCode::request_failed,
                  fmt::format("muctl was told to end: {}", printable(to_string(signal.reason))));
  } catch (const Failure&) {
    throw;
  } catch (const std::runtime_error& failure) {
    throw Failure(ExitCode::request_failed, printable(failure.what()));
  }
}

std::string sent(const Context& context, const Receiver& receiver) {
  if (!context.json) return {};
  JsonWriter json;
  json.begin_object()
      .field("verb", "send")
      .field("name", receiver.name)
      .field("pid", to_string(receiver.pid))
      .end_object();
  return json.take() + '\n';
}

std::string answered(const Context& context, const Receiver& receiver, const Message& message) {
  const std::string type = fmt::format("{:#x}", message.type_id());
  if (!context.json) {
    if (message.is_mumsg()) return format(message.mumsg().value()) + '\n';
    return fmt::format("a message of the type {}, {} bytes\n", type, message.root().targetSize().wordCount * 8);
  }
  JsonWriter json;
  json.begin_object().field("verb", "call").field("name", receiver.name).field("pid", to_string(receiver.pid));
  if (message.is_mumsg()) {
    json.key("answer");
    write_value(json, message.mumsg().value());
  } else {
    json.key("type_id").value(type).field("bytes", message.root().targetSize().wordCount * 8);
  }
  json.end_object();
  return json.take() + '\n';
}

bool is_notice_of(const Message& message, Ref ref) {
  if (message.from() || !message.is_mumsg()) return false;
  const auto its_ref = message.mumsg().find("ref");
  return message.mumsg().has("terminated") && its_ref && its_ref->equals(static_cast<std::int64_t>(ref.bits));
}

/// The first message from the receiver; a Failure when it ends before.
Message await_answer(Self& self, const Receiver& receiver, Ref monitor) {
  for (;;) {
    Message message = self.receive_any();
    if (message.from() == receiver.pid) return message;
    if (is_notice_of(message, monitor))
      throw Failure(ExitCode::request_failed,
                    fmt::format("{} ended without an answer: {}", receiver.title,
                                printable(to_string(message.mumsg()["reason"].as<Reason>()))));
  }
}

}  // namespace

std::string send(const Context& context, const std::string& name, const std::vector<std::string>& fields) {
  const Mumsg message = fields_in(fields);
  const Receiver receiver = find_receiver(context, name);
  return joined(context, receiver, [&](Self& self) {
    self.send(receiver.pid, message);
    return sent(context, receiver);
  });
}

std::string call(const Context& context, const std::string& name, const std::vector<std::string>& fields) {
  const Mumsg message = fields_in(fields);
  const Receiver receiver = find_receiver(context, name);
  const auto patience = context.timeout.value_or(k_call_patience);
  return joined(context, receiver, [&](Self& self) {
    const auto ask = [&] {
      const Ref monitor = self.monitor(receiver.pid);
      self.send(receiver.pid, message);
      return answered(context, receiver, await_answer(self, receiver, monitor));
    };
    return self.with_timeout(patience, ask, [&]() -> std::string {
      throw Failure(ExitCode::timeout,
                    fmt::format("no answer from {} within {}; --timeout waits longer, \"muctl show\" says what it does", receiver.title, short_duration(patience)));
    });
  });
}

}  // namespace muproc::tools
