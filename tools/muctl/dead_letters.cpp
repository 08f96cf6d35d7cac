// What reached nobody.
#include <fmt/format.h>

#include "tools/common/json.hpp"
#include "tools/common/table.hpp"
#include "tools/common/text.hpp"
#include "tools/muctl/verbs.hpp"
#include "wire/codec.hpp"
#include "wire/drop_words.hpp"

namespace muproc::tools {
namespace {

bool is_mumsg(std::uint64_t type_id) { return type_id == capnp::typeId<wire::Mumsg>(); }

std::uint64_t total_of(const wire::DeadLetters::Reader& book) {
  std::uint64_t total = 0;
  for (const std::uint64_t count : book.getCounts()) total += count;
  return total;
}

// ---- for people ------------------------------------------------------------------------------------------------------

std::string who(std::uint64_t pid, capnp::Text::Reader name, const char* otherwise) {
  const std::string text = printable(wire::view(name));
  if (!text.empty()) return text;
  return pid ? to_string(Pid(pid)) : otherwise;
}

/// "cmd=:square x", "call", "0x8d2c…".
std::string what(const wire::DeadLetter::Reader& letter) {
  std::string text = printable(wire::view(letter.getText()));
  if (text.empty() && letter.getTypeId() != 0 && !is_mumsg(letter.getTypeId())) text = fmt::format("{:#x}", letter.getTypeId());
  const std::string kind(wire::record_word(letter.getKind()));
  if (kind != "message") text = text.empty() ? kind : kind + ' ' + text;
  if (letter.getCount() > 1) text = fmt::format("{} messages{}{}", letter.getCount(), text.empty() ? "" : " ", text);
  return text.empty() ? "-" : text;
}

std::string text_of(const wire::DeadLetters::Reader& book) {
  const std::uint64_t total = total_of(book);
  if (total == 0) return "no dead letters\n";
  std::string out = fmt::format("{} dead letter{}\n", total, total == 1 ? "" : "s");
  Table causes({">COUNT", "WHY"});
  for (std::uint32_t drop = 0; drop < book.getCounts().size(); ++drop)
    if (const std::uint64_t count = book.getCounts()[drop]) causes.add({fmt::format("{}", count), std::string(wire::drop_text(drop))});
  out += '\n' + causes.text();
  Table targets({">COUNT", "TO"});
  for (const auto target : book.getTargets())
    targets.add({fmt::format("{}", target.getCount()), who(target.getPid(), target.getName(), "(nobody's name, and others)")});
  out += '\n' + targets.text();
  if (book.getLast().size() == 0) return out;
  Table last({"TIME", "FROM", "TO", "MESSAGE", "WHY"});
  for (const auto letter : book.getLast())
    last.add({local_time(letter.getWallNs()), who(letter.getFrom(), letter.getFromName(), "-"), who(letter.getTo(), letter.getToName(), "-"),
              what(letter), std::string(wire::drop_text(letter.getDrop()))});
  return out + '\n' + last.text();
}

// ---- for programs ----------------------------------------------------------------------------------------------------

void write_who(JsonWriter& json, const char* pid_key, const char* name_key, std::uint64_t pid, capnp::Text::Reader name) {
  json.field(pid_key, pid ? std::optional(to_string(Pid(pid))) : std::nullopt);
  json.field(name_key, name.size() > 0 ? std::optional(wire::string(name)) : std::nullopt);
}

std::string json_of(const std::string& system, const wire::DeadLetters::Reader& book) {
  JsonWriter json;
  json.begin_object().field("system", system).field("total", total_of(book)).key("counts").begin_object();
  for (std::uint32_t drop = 0; drop < book.getCounts().size(); ++drop) json.field(wire::drop_word(drop), book.getCounts()[drop]);
  json.end_object().key("targets").begin_array();
  for (const auto target : book.getTargets()) {
    json.begin_object();
    write_who(json, "pid", "name", target.getPid(), target.getName());
    json.field("count", target.getCount()).end_object();
  }
  json.end_array().key("last").begin_array();
  for (const auto letter : book.getLast()) {
    json.begin_object().field("time_ns", letter.getWallNs()).field("why", wire::drop_word(letter.getDrop()));
    write_who(json, "from", "from_name", letter.getFrom(), letter.getFromName());
    write_who(json, "to", "to_name", letter.getTo(), letter.getToName());
    json.field("kind", wire::record_word(letter.getKind()));
    const bool is_typed = letter.getTypeId() != 0 && !is_mumsg(letter.getTypeId());
    json.field("type_id", is_typed ? std::optional(fmt::format("{:#x}", letter.getTypeId())) : std::nullopt);
    json.field("message", letter.getText().size() > 0 ? std::optional(wire::string(letter.getText())) : std::nullopt);
    json.field("count", letter.getCount()).end_object();
  }
  json.end_array().end_object();
  return json.take() + '\n';
}

}  // namespace

std::string dead_letters(const Context& context, std::size_t count) {
  BrokerClient broker = context.broker();
  const auto last = static_cast<std::uint32_t>(std::min<std::size_t>(count, 1000));
  wire::Frame answer = broker.ask([&](wire::ToBroker::Builder request) { request.setDeadLetters(last); });
  const auto book = answer.as<wire::FromBroker>().getDeadLetters();
  return context.json ? json_of(broker.system(), book) : text_of(book);
}

}  // namespace muproc::tools
