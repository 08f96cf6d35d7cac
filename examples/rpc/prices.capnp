# A book of prices as a Cap'n Proto interface.
@0xc2a94e17b3d05f86;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("prices");

interface Book {
  set @0 (symbol :Text, price :Float64);
  price @1 (symbol :Text) -> (price :Float64);
  # Fails when nobody has set it.

  watch @2 (symbol :Text, watcher :Watcher) -> (subscription :Subscription);
  # The watcher is called at each change, until the subscription is dropped.

  open @3 (symbol :Text) -> (quote :Quote);
}

interface Quote {
  # One symbol of a book.
  price @0 () -> (price :Float64);
}

interface Watcher {
  changed @0 (symbol :Text, price :Float64);
}

interface Subscription {}
