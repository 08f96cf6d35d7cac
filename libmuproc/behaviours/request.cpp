#include "behaviours/request.hpp"

#include <stdexcept>

#include "runtime/arguments.hpp"
#include "runtime/failure.hpp"
#include "runtime/runtime.hpp"
#include "wire/codec.hpp"
#include "wire/printable.hpp"
#include "wire/server.capnp.h"

namespace muproc::detail {

std::size_t RequestTable::add(const Request& request) {
  if (find(request.name, request.is_call))
    throw std::invalid_argument("a server has two handlers named \"" + std::string(request.name) + '"');
  if (request.arity > k_most_arguments)
    throw std::invalid_argument("a handler takes at most " + std::to_string(k_most_arguments) + " arguments");
  known_.push_back({request_id(field_key(request.name), request.signature), request});
  return known_.size() - 1;
}

std::optional<std::size_t> RequestTable::find(std::string_view name, bool is_call) const {
  for (std::size_t i = 0; i < known_.size(); ++i)
    if (known_[i].request.name == name && known_[i].request.is_call == is_call) return i;
  return std::nullopt;
}

Asked RequestTable::read(const Message& message, bool is_call) const {
  if (!message.is<wire::Request>())
    throw Refused{k_no_such_call, "a generic server answers to its handlers' stubs only"};
  try {
    message.check();
    const auto request = message.as<wire::Request>();
    static constexpr auto keys = [] {
      std::array<std::uint64_t, k_most_arguments> all{};
      for (unsigned i = 0; i < k_most_arguments; ++i) all[i] = argument_key(i);
      return all;
    }();
    const auto find_arguments = [&](unsigned count) {
      if (!Runtime::request_fields(message).find_all(keys.data(), arguments_.data(), count))
        throw Refused{k_bad_argument, "an argument is missing"};
    };
    Asked asked;
    asked.arguments = arguments_.data();
    const std::uint64_t id = request.getId();
    for (std::size_t i = 0; i < known_.size(); ++i) {
      if (known_[i].id != id || known_[i].request.is_call != is_call) continue;
      find_arguments(known_[i].request.arity);
      asked.index = i;
      return asked;
    }
    if (is_call && id == k_started_id) {
      asked.what = Asked::What::started;
      return asked;
    }
    if (is_call && id == k_stop_id) {
      asked.what = Asked::What::stop;
      find_arguments(1);
      asked.stop = arguments_[0].as<Reason>();
      return asked;
    }
    const auto name = wire::view(request.getName());
    if (const auto index = find(name, is_call))
      throw Refused{k_other_signature, std::string(name) + known_[*index].request.describe()};
    throw Refused{k_no_such_call, std::string("the server knows no ") + (is_call ? "call" : "cast") + " \"" +
                                      wire::printable(name) + '"'};
  } catch (const kj::Exception& malformed) {
    throw Refused{k_bad_argument, malformed.getDescription().cStr()};
  } catch (const ValueError& error) {
    throw Refused{k_bad_argument, error.what()};
  }
}

void answer_failure(Answer& answer) {
  try {
    throw;
  } catch (const Refused& refused) {
    answer.error(Reason::exception(refused.type, refused.what));
  } catch (const BadArgument& bad) {
    answer.error(Reason::exception(k_bad_argument, bad.what()));
  } catch (const ExitSignal&) {
    throw;  // the caller hears of our end
  } catch (const LimitExpired&) {
    throw;
  } catch (...) {
    answer.error(reason_of_current_exception());
    throw;
  }
}

std::optional<HeardExit> read_exit(const Message& message) {
  if (message.from() || !message.is_mumsg()) return std::nullopt;
  const auto fields = message.mumsg();
  const auto ended = fields.find("terminated");
  const auto why = fields.find("reason");
  if (!ended || !why || !why->fits<Reason>() || fields.has("ref")) return std::nullopt;
  const auto name = fields.find("name");
  return HeardExit{ended->fits<Pid>() ? ended->as<Pid>() : nil_pid, name ? name->as<std::string>() : "",
                   why->as<Reason>()};
}

std::string describe(const Message& message) {
  try {
    return message.is_mumsg() ? to_string(message.mumsg().value()) : "of a type that is unknown here";
  } catch (const kj::Exception&) {
    return "which is malformed";
  }
}

}  // namespace muproc::detail
