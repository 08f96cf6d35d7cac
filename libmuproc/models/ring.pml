/* A ring and its two ends: RingWriter and RingReader of libmuproc/shm/ring.hpp, [SYNC ring.commit], [SYNC ring.consumed].
 *
 * Records of one or two units go through a ring of UNITS; one that does not fit before the end is preceded by a skip. The
 * reader publishes what it has consumed when it likes, and has to when it waits. The writer may die at any statement.
 *
 * Proved: what the reader takes is whole, and the next in order (no torn record, no stale mark, nothing is written over
 * before it was consumed); all that was committed arrives, after the writer's death too; and unless it died the writer
 * comes to its end (room is not lost). EARLY, which stores the mark before the contents, and GREEDY, which claims a unit too
 * many, are the checks of this check.
 */
#define UNITS 4
#define RECORDS 5
#define PROCESSORS 2
#define WRITER 0
#define READER 1
/* Of each unit: the mark, the record's shape (its units; 0 for a skip), its contents. */
#define MARK(position) (3 * ((position) % UNITS))
#define SHAPE(position) (MARK(position) + 1)
#define CONTENTS(position) (MARK(position) + 2)
#define CONSUMED (3 * UNITS)
#define WORDS (3 * UNITS + 1)
#include "tso.pml"

/* The mark says the position, so none of an earlier lap passes for it; memory begins with 0. */
#define MARK_OF(position) ((position) + 1)

bool writer_has_ended = false;
byte committed = 0, received = 0;

#define MAY_DIE if :: goto dead :: skip fi

proctype writer() {
  byte position = 0, seen = 0, units, number, skipped;
#ifdef GREEDY
#define SIZE (UNITS + 1)
#else
#define SIZE UNITS
#endif
  for (number : 1 .. RECORDS) {
    if :: units = 1 :: units = 2 fi;
    skipped = (units > UNITS - position % UNITS -> UNITS - position % UNITS : 0);
    do
    :: position + skipped + units - seen <= SIZE -> break
    :: else -> memory[CONSUMED] != seen; load(CONSUMED, seen) /* it waits until there is news of that */
    od;
    MAY_DIE;
    if
    :: skipped ->
       store(WRITER, SHAPE(position), 0);
       store(WRITER, MARK(position), MARK_OF(position));
       MAY_DIE;
       position = position + skipped
    :: else
    fi;
#ifdef EARLY
    store(WRITER, MARK(position), MARK_OF(position));
    committed++;
#endif
    store(WRITER, SHAPE(position), units);
    store(WRITER, CONTENTS(position), number);
    if :: units == 2 -> store(WRITER, CONTENTS(position + 1), number); /* whose mark stays what it was */ :: else fi;
    MAY_DIE;
#ifndef EARLY
    atomic { store(WRITER, MARK(position), MARK_OF(position)); committed++ }
#endif
    MAY_DIE;
    position = position + units
  }
dead:
  writer_has_ended = true
}

proctype reader() {
  byte position = 0, published = 0, mark, shape, first, second;
  do
  :: load(MARK(position), mark);
     if
     :: mark == MARK_OF(position) ->
        load(SHAPE(position), shape);
        if
        :: shape == 0 -> assert(position % UNITS); position = position + UNITS - position % UNITS
        :: else ->
           load(CONTENTS(position), first);
           second = first;
           if :: shape == 2 -> load(CONTENTS(position + 1), second) :: else fi;
           assert(first == received + 1 && second == first);
           received++;
           position = position + shape
        fi;
        if
        :: store(READER, CONSUMED, position); published = position
        :: skip
        fi
     :: else ->
        if
        :: memory[MARK(position)] == MARK_OF(position) /* it has spun until something came */
        :: published != position -> /* it goes to sleep, and would be woken */
           store(READER, CONSUMED, position);
           published = position
        :: published == position && writer_has_ended && empty(buffer[WRITER]) ->
           /* The kernel has reported the writer's end: one more look, and what is not there never comes. */
           load(MARK(position), mark);
           if
           :: mark != MARK_OF(position) -> break
           :: else
           fi
        fi
     fi
  od;
  assert(received == committed)
}

init {
  start_memory();
  atomic { run writer(); run reader() }
}
