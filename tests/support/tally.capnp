# An interface for the tests of RPC.
@0xaf1c6be2974d0835;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("muproc::test");

interface Tally {
  add @0 (n :Int64) -> (sum :Int64);
  fail @1 (what :Text);
  hold @2 () -> (tally :Tally);     # answered at the next release
  release @3 ();
  watch @4 (watcher :Watcher) -> (watch :Watch);
  watchers @5 () -> (count :UInt32);
  addTo @6 (tally :Tally, n :Int64) -> (sum :Int64);   # adds to that one
  check @7 (list :List(UInt64)) -> (right :Bool, isShared :Bool);
  make @8 (count :UInt32) -> (list :List(UInt64));
  leave @9 ();                      # the server exits
}

interface Watcher {
  changed @0 (sum :Int64);
}

interface Watch {}

interface Stranger {
  hello @0 ();
}
