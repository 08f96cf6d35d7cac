/* Something of several words that is read while it changes: two copies, and a version whose last bit says which of them
 * holds: a slot's description [SYNC directory.version], a group's members [SYNC group.version]. ONE_COPY: there is only one,
 * and its number is 0 while it is written: a dead letter [SYNC dead_letter.number].
 *
 * Proved: a reader that finds the same version after its copy as before has words that belong together. CARELESS, which does
 * not look again, is the check of this check.
 */
#define CHANGES 4
#define PROCESSORS 1
#ifdef ONE_COPY
#define WORD(version, i) (1 + (i))
#else
#define WORD(version, i) (1 + 2 * ((version) % 2) + (i))
#endif
#define VERSION 0
#define WORDS 5
#include "tso.pml"

proctype writer() {
  byte version;
  for (version : 1 .. CHANGES) {
#ifdef ONE_COPY
    store(0, VERSION, 0);
#endif
    store(0, WORD(version, 0), version);
    store(0, WORD(version, 1), version);
    store(0, VERSION, version)
  }
}

proctype reader() {
  byte before, after, first, second, tries;
  for (tries : 1 .. 3) {
    load(VERSION, before);
    load(WORD(before, 0), first);
    load(WORD(before, 1), second);
    load(VERSION, after);
#ifdef CARELESS
    after = before;
#endif
    if
    :: after == before && before -> assert(first == before && second == before)
    :: else
    fi
  }
}

init {
  start_memory();
  atomic { run writer(); run reader() }
}
