/* A kept mailbox: Keeper of libmuproc/runtime/keeper.hpp, KeepLog and KeptRemains of libmuproc/shm/keep.hpp, [SYNC keep.commit],
 * [SYNC keep.generation], [SYNC keep.whole].
 *
 * A channel holds the messages 1 to MESSAGES. Its reader handles them, stashes them, or reads on while it has one in hand,
 * begins its log anew when it likes, and may die at any statement; so may its successor while it takes over. What it has
 * written is seen by its successor in the order in which it was written: the kernel has reported the death before.
 *
 * Proved: at the end each message was handled once, or once named as dropped in hand, and nothing else; what a successor
 * finds in the log is in order, and before all that it finds in the channel. HASTY, which moves the position before the
 * entry's mark, GREEDY, which does not look where an entry's record ends, and CARELESS, which names the new half of the log
 * before it has copied, are the checks of this check.
 */
#define MESSAGES 3
#define DEATHS 3
#define RENEWALS 2
#define ENTRIES 8
#define WAITING 0
#define IN_HAND 1
#define HANDLED 2

/* Of two lives, the one that writes and the one before it: words of its segment. */
byte position[2], hand[2], half[2];
byte entries[4];                             /* of each half: so many marks are there */
byte message[4 * ENTRIES], state[4 * ENTRIES];
#define HALF(life) (2 * (life) + half[life])
#define AT(log, i) (ENTRIES * (log) + (i))

byte handled[MESSAGES + 1], dropped[MESSAGES + 1];
byte deaths = 0, renewals = 0, me = 0, i, k, last, where, log, other;
bool has_predecessor = false;

#define MAY_DIE if :: deaths < DEATHS -> goto death :: skip fi
#define MAY_DIE_UNBORN if :: deaths < DEATHS -> deaths++; goto birth :: skip fi

/* What the words of a life say: where its successor goes on, but for what was in hand. */
inline find_position(life) {
  where = position[life];
#ifndef GREEDY
  for (k : 1 .. entries[HALF(life)]) {
    if :: message[AT(HALF(life), k - 1)] > where -> where = message[AT(HALF(life), k - 1)] :: else fi
  }
#endif
}

/* The mark is the last store of an entry, so an entry without it is as if it were not there. */
inline append(what, how) {
  log = HALF(me);
  assert(entries[log] < ENTRIES);
  message[AT(log, entries[log])] = what;
  state[AT(log, entries[log])] = how;
  MAY_DIE;
  entries[log]++
}

/* To the log, from the channel. */
inline put_away(how) {
#ifdef HASTY
  position[me]++;
  MAY_DIE;
  append(position[me], how)
#else
  append(position[me] + 1, how);
  MAY_DIE;
  position[me]++
#endif
}

inline find_waiting() {
  i = 0;
  do
  :: i < entries[HALF(me)] && state[AT(HALF(me), i)] != WAITING -> i++
  :: else -> break
  od
}

/* The one store. */
inline finish(at) {
  atomic { handled[message[at]]++; state[at] = HANDLED }
}

inline renew() {
  log = HALF(me);
  other = 2 * me + 1 - half[me];
  entries[other] = 0; /* what is there has marks of an earlier generation */
#ifdef CARELESS
  half[me] = 1 - half[me];
#endif
  i = 0;
  do
  :: i < entries[log] ->
     MAY_DIE;
     if
     :: state[AT(log, i)] != HANDLED ->
        message[AT(other, entries[other])] = message[AT(log, i)];
        state[AT(other, entries[other])] = state[AT(log, i)];
        entries[other]++
     :: else
     fi;
     i++
  :: else -> break
  od;
  MAY_DIE;
#ifndef CARELESS
  half[me] = 1 - half[me]
#endif
}

init {
birth:
  skip;
  d_step { position[me] = 0; hand[me] = 0; half[me] = 0; entries[2 * me] = 0; entries[2 * me + 1] = 0 }
  if
  :: has_predecessor ->
     i = 0;
     last = 0;
     do
     :: i < entries[HALF(1 - me)] ->
        MAY_DIE_UNBORN;
        if
        :: state[AT(HALF(1 - me), i)] == WAITING ->
           assert(message[AT(HALF(1 - me), i)] > last);
           last = message[AT(HALF(1 - me), i)];
           message[AT(HALF(me), entries[HALF(me)])] = last;
           state[AT(HALF(me), entries[HALF(me)])] = WAITING;
           entries[HALF(me)]++
        :: else
        fi;
        i++
     :: else -> break
     od;
     find_position(1 - me);
     if :: hand[1 - me] > where -> where = hand[1 - me] :: else fi;
#ifndef GREEDY
     assert(last <= where);
#endif
     position[me] = where;
     MAY_DIE_UNBORN
  :: else
  fi;
  has_predecessor = false; /* it is whole: from now on the next one takes over from it */

  do
  :: find_waiting();
     if
     :: i < entries[HALF(me)] -> /* a clause wants what is in the stash */
        state[AT(HALF(me), i)] = IN_HAND;
        MAY_DIE;
        finish(AT(HALF(me), i));
        MAY_DIE
     :: i == entries[HALF(me)] && position[me] == MESSAGES -> break
     :: i == entries[HALF(me)] && position[me] < MESSAGES -> skip
     fi
  :: position[me] < MESSAGES -> /* it is handled at once */
     hand[me] = position[me] + 1;
     MAY_DIE;
     atomic { handled[hand[me]]++; position[me]++ };
     MAY_DIE
  :: position[me] < MESSAGES -> /* no clause wants it */
     put_away(WAITING);
     MAY_DIE
  :: position[me] + 1 < MESSAGES -> /* its handler reads on */
     hand[me] = position[me] + 1;
     MAY_DIE;
     put_away(IN_HAND);
     MAY_DIE;
     i = entries[HALF(me)] - 1;
     put_away(WAITING);
     MAY_DIE;
     finish(AT(HALF(me), i));
     MAY_DIE
  :: entries[HALF(me)] && renewals < RENEWALS -> renewals++; renew(); MAY_DIE
  od;
  goto over;

death:
  skip; /* the broker names what was in hand; a successor comes to the same */
  d_step {
    deaths++;
    for (k : 1 .. entries[HALF(me)]) {
      if :: state[AT(HALF(me), k - 1)] == IN_HAND -> dropped[message[AT(HALF(me), k - 1)]]++ :: else fi
    }
  };
  find_position(me);
  if :: hand[me] > where -> dropped[hand[me]]++ :: else fi;
  has_predecessor = true;
  me = 1 - me;
  goto birth;

over:
  skip;
  for (k : 1 .. MESSAGES) {
    assert(handled[k] + dropped[k] == 1)
  }
}
