/* Sleeping and being woken: Sleeper::wait and Peer::wake of libmuproc/runtime, [SYNC sleep.asleep].
 *
 * WAKERS publish MESSAGES each and look at the flag; one sleeper takes them all. Proved: it never sleeps while something
 * that it has not taken waits for it (a state in which it sleeps for ever would be an invalid end).
 *
 * ASYMMETRIC: the wakers' fence is none, the sleeper's is membarrier. SYMMETRIC: both fence. SWITCHING: the sleeper says in the
 * flag which of the two it is now, and changes its mind at any time. REFUSED: as ASYMMETRIC, but the kernel has refused
 * membarrier, so the sleeper looks again after a while. UNFENCED, none of them, and HURRIED, which begins to rely on the
 * wakers' fence without a membarrier in between, lose wake-ups: the checks of this check.
 */
#define WAKERS 2
#define MESSAGES 2
#define PROCESSORS 3
#define WORDS 3
#define ASLEEP WAKERS /* words 0 to WAKERS - 1: how many each waker has published */
#define SLEEPER WAKERS
#include "tso.pml"

#ifdef HURRIED
#define SWITCHING
#endif
#define FENCE 2 /* in the flag: wakers fence, and look at it again */

bit eventfd = 0; /* sticky: it counts, and only whether it is 0 matters */

proctype waker(byte me) {
  byte published = 0, asleep;
  do
  :: published < MESSAGES ->
     published++;
     store(me, me, published);
#ifdef SYMMETRIC
     full_fence(me);
#endif
     load(ASLEEP, asleep);
     if
     :: asleep & FENCE -> full_fence(me); load(ASLEEP, asleep)
     :: else
     fi;
     if
     :: asleep & 1 -> eventfd = 1
     :: else
     fi
  :: else -> break
  od
}

inline look(found) {
  found = false;
  for (who : 0 .. WAKERS - 1) {
    load(who, seen);
    if
    :: seen > taken[who] -> taken[who] = seen; found = true
    :: else
    fi
  }
}

#define ALL_TAKEN (taken[0] == MESSAGES && taken[1] == MESSAGES)

proctype sleeper() {
  byte taken[WAKERS], seen, who, other, mode = 0;
  bool found;
  do
  :: ALL_TAKEN -> break
  :: else ->
#ifdef SWITCHING
     if
     :: mode == FENCE -> store(SLEEPER, ASLEEP, 1 + FENCE); full_fence(SLEEPER)
     :: mode == 0 ->
        if :: mode = FENCE :: skip fi;
        store(SLEEPER, ASLEEP, 1 + mode);
#ifdef HURRIED
        if :: mode == FENCE -> full_fence(SLEEPER) :: else -> heavy_fence(SLEEPER) fi
#else
        heavy_fence(SLEEPER)
#endif
     fi;
#else
     store(SLEEPER, ASLEEP, 1);
#endif
#ifdef SYMMETRIC
     full_fence(SLEEPER);
#endif
#ifdef ASYMMETRIC
     heavy_fence(SLEEPER);
#endif
#ifdef REFUSED
     full_fence(SLEEPER);
#endif
     look(found);
     if
     :: found
     :: else ->
        if
        :: atomic { eventfd -> eventfd = 0 } /* the sleep */
#ifdef REFUSED
        :: timeout                           /* it is not for long */
#endif
        fi
     fi;
#ifdef SWITCHING
     if :: mode = 0 :: skip fi;
#endif
     store(SLEEPER, ASLEEP, mode);
     look(found)
  od
}

init {
  start_memory();
  atomic { run sleeper(); run waker(0); run waker(1) }
}
