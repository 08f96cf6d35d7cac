# Typed messages for tests.
@0xd8c2b4f06e1a9357;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("muproc::test");

struct Plain {
  word @0 :Text;
}

struct Quote {
  symbol @0 :Text;
  price @1 :Float64;
  qty @2 :Int32;
}

struct Numbers {
  list @0 :List(UInt64);
}

struct Blob {
  data @0 :Data;
}

struct Tick {
  id @0 :UInt64;
  bid @1 :Float64;
  isLast @2 :Bool;
}
