/* Large messages: the sender's blocks, their tickets, and the receiver's release word: write_large and reclaim of
 * libmuproc/runtime/outbox.cpp, InChannel::release_ticket, [SYNC arena.release].
 *
 * A bit of the release word is toggled for each use of its ticket, so it is never reset, and each side has one word to write.
 * Proved: the receiver reads what was sent with that ticket, however often it was used before, and whatever order it gives
 * them back in. HASTY, which takes a block back without looking, is the check of this check.
 */
#define TICKETS 2
#define MESSAGES 4
#define PROCESSORS 2
#define SENDER 0
#define RECEIVER 1
#define BLOCK(ticket) (ticket)
#define RECORD(number) (TICKETS + (number)) /* the ring is long enough for all */
#define RELEASED (TICKETS + MESSAGES + 1)
#define WORDS (RELEASED + 1)
#include "tso.pml"

#define BIT(ticket) (1 << (ticket))

proctype sender() {
  byte in_flight = 0, phase = 0, released, number, ticket;
  for (number : 1 .. MESSAGES) {
    do
    :: !(in_flight & BIT(0)) -> ticket = 0; break
    :: !(in_flight & BIT(1)) -> ticket = 1; break
    :: in_flight == 3 ->
#ifndef HASTY
       (memory[RELEASED] ^ phase) & 3; /* it waits until there is news of that */
#endif
       load(RELEASED, released);
#ifdef HASTY
       in_flight = 0;
#else
       if
       :: (released ^ phase) & in_flight & BIT(0) -> phase = phase ^ BIT(0); in_flight = in_flight & BIT(1)
       :: (released ^ phase) & in_flight & BIT(1) -> phase = phase ^ BIT(1); in_flight = in_flight & BIT(0)
       :: else
       fi
#endif
    od;
    store(SENDER, BLOCK(ticket), number);
    store(SENDER, RECORD(number), ticket + 1);
    in_flight = in_flight | BIT(ticket)
  }
}

proctype receiver() {
  byte released = 0, number, ticket, contents, held = 0;
  for (number : 1 .. MESSAGES) {
    memory[RECORD(number)] != 0;
    load(RECORD(number), ticket);
    ticket--;
    load(BLOCK(ticket), contents);
    assert(contents == number);
    /* Handed on: it may be read again much later, and another be given back before. */
    if
    :: !held && number < MESSAGES -> held = number + 16 * ticket
    :: else ->
       released = released ^ BIT(ticket);
       store(RECEIVER, RELEASED, released)
    fi;
    if
    :: held ->
       load(BLOCK(held / 16), contents);
       assert(contents == held % 16);
       if
       :: released = released ^ BIT(held / 16);
          store(RECEIVER, RELEASED, released);
          held = 0
       :: number < MESSAGES && TICKETS > 1
       fi
    :: else
    fi
  }
}

init {
  start_memory();
  atomic { run sender(); run receiver() }
}
