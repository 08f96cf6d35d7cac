# What the benchmarks send.
@0xc41f0a7be2d95836;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("muproc::bench");

struct Ball {
  # 56 bytes of payload, all of it written and read each time.
  number @0 :UInt64;
  a @1 :Float64;
  b @2 :Float64;
  c @3 :UInt64;
  d @4 :UInt64;
  e @5 :Int64;
  f @6 :Int64;
}
