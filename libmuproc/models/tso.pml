/* Memory as x86 has it (x86-TSO): stores wait in their processor's buffer, in order, and reach memory some time later;
 * loads see memory at once. Every word of ours has one writer, and no writer reads its own words back: it keeps what it
 * wrote in variables. So no load has to look into a buffer.
 *
 * A process that dies leaves its buffer to its processor: what is in there still reaches memory.
 */
#ifndef BUFFERED
#define BUFFERED 4
#endif

byte memory[WORDS];
chan buffer[PROCESSORS] = [BUFFERED] of { byte, byte };

inline store(processor, word, value) { buffer[processor]!word, value }
inline load(word, value) { value = memory[word] }
/* mfence, or a locked instruction */
inline full_fence(processor) { empty(buffer[processor]) }
/* membarrier: a full fence here, and one on each processor that runs one of ours, some time between call and return */
inline heavy_fence(processor) {
  full_fence(processor);
  for (other : 0 .. PROCESSORS - 1) { empty(buffer[other]) }
}

proctype drain(byte processor) {
  byte word, value;
end:
  do
  :: atomic { buffer[processor]?word, value -> memory[word] = value }
  od
}

inline start_memory() {
  byte starting = 0;
  do
  :: starting < PROCESSORS -> run drain(starting); starting++
  :: else -> break
  od
}
