// From drafts to a system: what only the whole tree shows to be right or wrong.
//
// Names are unique; every child is defined and has one parent; the supervisors form one tree. The root is the
// supervisor that is nobody's child; if several are, the one named "root", and the others are orphans.
#pragma once

#include "broker/config/drafts.hpp"
#include "broker/config/reader.hpp"
#include "broker/spec.hpp"

namespace muproc::broker {

/// The system of the drafts. Reports all that is wrong with it; what comes back then is not to be used.
SystemSpec build_tree(Reader& reader, const SystemDraft& drafts);

/// Warns of settings that have no effect, and of limits that can never trip. For a system without errors.
void warn_of_the_pointless(Reader& reader, const SystemDraft& drafts, const SystemSpec& system);

}  // namespace muproc::broker
