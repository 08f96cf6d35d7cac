# What is published, and what is told of books as a whole. Money is in cents: whole numbers, everywhere.
@0xf3a1c07d5b2e9846;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("trading");

struct Quote {
  # Published to the group "quotes": what a share can be bought and sold for now.
  symbol @0 :Text;
  number @1 :Int64;  # of this symbol, counted by its feed from 1 in each of the feed's lives
  bid @2 :Int64;     # cents: what a buyer pays
  ask @3 :Int64;     # cents: what a seller asks
  size @4 :Int64;    # shares, on either side
}

struct Trade {
  # Published to the group "trades", and an entry of a statement: what became of an order.
  strategy @0 :Text;
  number @1 :Int64;    # of the order: its strategy counts them from 1
  symbol @2 :Text;
  quantity @3 :Int64;  # shares bought, or (negative) sold; 0: none, the order is void
  price @4 :Int64;     # cents a share
}

struct Statement {
  # All that somebody has in their books.
  trades @0 :List(Trade);
  open @1 :Int64;  # orders of which nothing is known but that they were given
}
