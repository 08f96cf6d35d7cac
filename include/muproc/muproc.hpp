// All of muproc. See self.hpp for what a muproc can do, match.hpp for receive's clauses, supervision.hpp for trees of
// supervisors, server.hpp for generic servers, system.hpp to be the broker yourself.
#pragma once

#include <muproc/entry.hpp>
#include <muproc/match.hpp>
#include <muproc/message.hpp>
#include <muproc/pid.hpp>
#include <muproc/reason.hpp>
#include <muproc/self.hpp>
#include <muproc/server.hpp>
#include <muproc/supervision.hpp>
#include <muproc/value.hpp>
