# What a generic server is asked. The message's kind (call or cast) and its reference are in its record. An answer is a
# Mumsg of one field, the result (nil for none); what went wrong is a Reason, in a message of kind `error`.
@0xa7d0c9b3f15e2846;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("muproc::wire");

using M = import "mumsg.capnp";

struct Request {
  fields @0 :List(M.Field);   # the arguments in order, with the keys 1, 2, …; the first pointer, as in a Mumsg
  name @1 :Text;              # of the handler
  id @2 :UInt64;              # of name and signature together (request_id in muproc/request.hpp)
}

struct HandedOver {
  # An answer that says who will answer instead of who sends this; in a message of kind `reply`.
  to @0 :UInt64;
}
