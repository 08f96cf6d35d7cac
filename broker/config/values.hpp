// The values of the config with rules of their own. Each function sets its target, or reports what is wrong and leaves
// the target alone.
#pragma once

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
void read_core(Reader& reader, const Field& field, std::optional<Bytes>& target);
/// Processor numbers.
void read_cpus(Reader& reader, const Field& field, std::vector<unsigned>& target);
/// Octal: "022" or 0o022.
void read_umask(Reader& reader, const Field& field, std::optional<std::uint32_t>& target);
/// Variables, added to those that the target has.
void read_env(Reader& reader, const Field& field, std::vector<std::pair<std::string, std::string>>& target);
/// Names, at least one.
void read_children(Reader& reader, const Field& field, std::vector<ChildName>& target);
/// A program and its arguments.
void read_exec(Reader& reader, const Field& field, std::optional<std::vector<std::string>>& target);
/// A string that is not empty.
void read_word(Reader& reader, const Field& field, std::optional<std::string>& target);

}  // namespace muproc::broker
