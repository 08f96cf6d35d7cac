// What most muprocs need. See self.hpp for what a muproc can do, sender.hpp for its other threads, match.hpp for receive's
// clauses, supervision.hpp for trees of supervisors, supervisor.hpp for children that come and go, server.hpp for generic
// servers. Headers of their own, to be included where they are used: state_machine.hpp, event_manager.hpp, groups.hpp,
// task.hpp, rpc.hpp, system.hpp to be the broker yourself, testing.hpp for tests.
#pragma once

#include <muproc/entry.hpp>
#include <muproc/match.hpp>
#include <muproc/message.hpp>
#include <muproc/pid.hpp>
#include <muproc/reason.hpp>
#include <muproc/self.hpp>
#include <muproc/sender.hpp>
#include <muproc/server.hpp>
#include <muproc/supervision.hpp>
#include <muproc/supervisor.hpp>
#include <muproc/value.hpp>
