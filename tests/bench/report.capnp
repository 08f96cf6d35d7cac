# What mubench --json writes, in the JSON that Cap'n Proto makes of it. Absent: there is no such thing for the row.
@0xd7f0a35b1c64e982;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("muproc::bench::schema");

struct Report {
  machine @0 :Machine;
  rows @1 :List(Row);
}

struct Machine {
  cpu @0 :Text;
  kernel @1 :Text;
  cores @2 :List(UInt32);  # those that were pinned to
  date @3 :Text;           # of the end of the run, UTC
}

struct Row {
  name @0 :Text;
  unit @1 :Text;
  median @2 :Float64;  # over the rounds, in that unit
  rounds @3 :UInt32;
  laps @4 :Laps;
  floor @5 :Floor;
  beside @6 :Beside;
  bars @7 :List(Bar);
  distribution @8 :List(Point);
}

struct Laps {
  # In ns; medians over the rounds, and the largest of all.
  mean @0 :Float64;
  p50 @1 :Float64;
  p90 @2 :Float64;
  p99 @3 :Float64;
  p999 @4 :Float64;
  max @5 :Float64;
}

struct Floor {
  ns @0 :Float64;
  ratio @1 :Float64;      # of the medians
  meanRatio @2 :Float64;  # of the means; 0 where the row has no laps
}

struct Beside {
  what @0 :Text;
  ratio @1 :Float64;
}

struct Bar {
  on @0 :On;
  atMost @1 :Bool;  # no: at least
  limit @2 :Float64;
  other @3 :Text;
  measured @4 :Measured;  # absent when the other row was not measured

  enum On {
    value @0;
    ratio @1;
    meanRatio @2;
    beside @3;
    tail @4;
    other @5;
  }
}

struct Measured {
  value @0 :Float64;
  passes @1 :Bool;
}

struct Point {
  quantile @0 :Float64;
  ns @1 :Float64;
}
