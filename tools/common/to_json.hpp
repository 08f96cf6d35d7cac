// Nodes and messages as JSON. The field names are part of the tools' interface: docs/muctl.md.
#pragma once

#include <muproc/value.hpp>

#include "tools/common/json.hpp"
#include "tools/common/nodes.hpp"
#include "tools/common/snapshot.hpp"

namespace muproc::tools {

/// The fields of one node, into an object that is open. `seen`: the system's memory at that time, for what the broker does
/// not tell; null: it could not be looked at, and these fields are null.
void write_node(JsonWriter& json, const Nodes& nodes, Node node);
void write_node(JsonWriter& json, const Nodes& nodes, Node node, const Snapshot* seen);

/// nil: null. Symbols are text, data is hex, pids are "<0.3.1>", reasons are as people read them, and a Cap'n Proto
/// struct is {"type_id": "0x…", "bytes": n}.
void write_value(JsonWriter& json, const Value& value);
void write_value(JsonWriter& json, const Mumsg& mumsg);

}  // namespace muproc::tools
