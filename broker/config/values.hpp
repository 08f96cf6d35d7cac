// The values of the config with rules of their own. Each function sets its target, or reports what is wrong and leaves
// the target alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <muproc/supervision.hpp>

#include "broker/config/drafts.hpp"
#include "broker/config/reader.hpp"

namespace muproc::broker {

/// "kill", "forever" or a duration.
void read_stop(Reader& reader, const Field& field, Stop& target);
/// A size that a ring can have.
void read_ring(Reader& reader, const Field& field, Bytes& target);
/// A size or "unlimited", which is the largest number.
void read_limit(Reader& reader, const Field& field, std::optional<Bytes>& target);
/// Processor numbers.
void read_cpus(Reader& reader, const Field& field, std::vector<unsigned>& target);
/// Octal: "022" or 0o022.
void read_umask(Reader& reader, const Field& field, std::optional<std::uint32_t>& target);
/// Variables, added to those that the target has.
void read_env(Reader& reader, const Field& field, std::vector<std::pair<std::string, std::string>>& target);
/// A watchdog's interval: not so short that looking is all the broker does.
void read_interval(Reader& reader, const Field& field, std::chrono::nanoseconds& target);
/// A duration in whole seconds.
void read_seconds(Reader& reader, const Field& field, std::optional<std::chrono::seconds>& target);
/// A user's or group's name or number.
void read_account(Reader& reader, const Field& field, std::string& target);
void read_accounts(Reader& reader, const Field& field, std::optional<std::vector<std::string>>& target);
/// Names, maybe none.
void read_names(Reader& reader, const Field& field, std::optional<std::vector<ChildName>>& target);
/// Names, at least one.
void read_children(Reader& reader, const Field& field, std::vector<ChildName>& target);
/// One name, in place of the target's.
void read_template(Reader& reader, const Field& field, std::vector<ChildName>& target);
/// A program and its arguments.
void read_exec(Reader& reader, const Field& field, std::optional<std::vector<std::string>>& target);
/// Where something can be listened at: metrics/listen_address.hpp. The path of a Unix socket is made absolute.
void read_listen_address(Reader& reader, const Field& field, std::string& target);
/// Names of system calls that this machine has.
void read_system_calls(Reader& reader, const Field& field, std::vector<std::string>& target);
/// Paths, made absolute.
void read_paths(Reader& reader, const Field& field, std::vector<std::string>& target);
/// A string that is not empty.
void read_word(Reader& reader, const Field& field, std::optional<std::string>& target);

}  // namespace muproc::broker
