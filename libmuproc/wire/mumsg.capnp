# What travels in mailboxes when it is not a user's own struct: sets of named values, and reasons.
@0xb3f1a6d2c4e5978a;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("muproc::wire");

struct Mumsg {
  fields @0 :List(Field);
}

struct Field {
  # A named value; in a list the names are empty.
  key @0 :UInt64;    # FNV-1a of the name, so that a receive clause need not read names
  name @1 :Text;
  union {
    nil @2 :Void;
    boolean @3 :Bool;
    integer @4 :Int64;
    real @5 :Float64;
    symbol @6 :Text;
    text @7 :Text;
    data @8 :Data;
    list @9 :List(Field);
    mumsg @10 :List(Field);
    pid @11 :UInt64;
    structure @12 :Structure;
    reason @13 :Reason;
  }
}

struct ByteMessage @0xd5f09c1e62ab8347 {
  # Bytes that are a message of their own: `self.send(to, bytes)`.
  bytes @0 :Data;
}

struct Structure {
  typeId @0 :UInt64;
  words @1 :Data;             # the struct's message, flat, as StructValue has it; or
  contents @2 :AnyPointer;    # the struct itself
}

struct Reason {
  kind @0 :UInt16;   # muproc::Reason::Kind
  core @1 :Bool;
  number @2 :Int32;
  pid @3 :UInt64;
  name @4 :Text;
  what @5 :Text;
  value @6 :Field;
  cause @7 :Reason;
}
