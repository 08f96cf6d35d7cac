# What the benchmarks send.
@0xc41f0a7be2d95836;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("muproc::bench");

struct Nothing {
}

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

struct Block {
  # 256 bytes and more.
  words @0 :List(UInt64);
}

struct Stamped {
  # Sent once it is built, at that time; told back is how long it took.
  at @0 :Float64;
  took @1 :Float64;
}

struct Bulk {
  # A large message, stamped when it was built.
  at @0 :Float64;
  file @1 :UInt64;    # where its sender has the data: the inode of the memory's file,
  offset @2 :UInt64;  # and the place in it
  data @3 :Data;
}
