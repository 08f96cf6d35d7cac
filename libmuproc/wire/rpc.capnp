# One message of a Cap'n Proto RPC connection between two muprocs, on its way through a mailbox.
@0xe4b0a7c6d81f3952;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("muproc::wire");

struct RpcFrame {
  connection @0 :UInt64;      # its number, given by the muproc that opened it
  toServer @1 :Bool;          # from the muproc that opened it
  opens @2 :Bool;             # the first one
  segments @3 :List(Data);    # of the message, each of whole words; none: the sender will say no more
}
