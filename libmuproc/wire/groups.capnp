# Process groups, in the control protocol: what a muproc asks, and what the broker says.
@0xd6a1f0b3c8472e59;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("muproc::wire");

struct GroupRequest {
  stamp @0 :UInt64;          # the asker's time (sys::ticks): what it sent before comes before the notice of this
  name @1 :Text;             # the group; of no meaning in demonitor
  ref @2 :UInt64;            # of a monitor: chosen by the asker, unique in it
  what @3 :What;
  enum What {
    join @0;                 # → ok
    leave @1;                # one join less → ok, or an error (not a member)
    monitor @2;              # → members, and from then on a notice of each change
    demonitor @3;            # → ok
  }
}

struct GroupNews {
  union {
    members @0 :List(UInt64);    # Pids, each as often as it has joined: the reply to `monitor`
    change @1 :GroupChange;
  }
}

struct GroupChange {
  ref @0 :UInt64;            # of the monitor
  group @1 :Text;
  pid @2 :UInt64;            # who
  joined @3 :Bool;           # else it has left
  times @4 :UInt64;          # how many joins that is: of one who has died, all that it had
  stamp @5 :UInt64;          # its time; 0: it is dead, and everything that it ever sent comes before
}
