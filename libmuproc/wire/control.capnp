# What the broker, its muprocs, its zygotes and the tools say to each other over Unix stream sockets.
#
# Each message is one frame (wire/frame.hpp), which may carry file descriptors; "fds:" says which, in order. A muproc's
# socket is also its system lane: everything that the broker has to tell it comes here, in order, announced by a
# counter in the directory so that a muproc that has no news makes no system call.
#
# A request carries an id that its sender chose, unique on its socket and not 0; the reply carries it back. Id 0 wants no reply.
@0xe1b0c7d59a2f4368;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("muproc::wire");

using M = import "mumsg.capnp";
using G = import "groups.capnp";

# ---- a muproc or a tool → the broker ---------------------------------------------------------------------------------

struct ToBroker {
  id @0 :UInt64;
  union {
    hello @1 :Hello;            # a new child's first word, after it has mapped its segment and before it runs. The
                                # broker checks its credentials, seals the segment, answers with `go`
    attach @2 :Attach;          # an outsider's first word on control.sock; answered with `kit`, then as a child
    exiting @3 :M.Reason;       # the muproc's own account, sent right before its process ends. No reply
    heeded @4 :Void;            # it has thrown ExitSignal: no more interrupting signals are needed. No reply
    ready @5 :Void;             # it has called ready(): who waits for its start need wait no longer. No reply

    spawn @6 :Spawn;            # → pid, when the child is ready
    exit @7 :Exit;              # exit(target, reason) → ok
    kill @8 :UInt64;            # target Pid → ok
    link @9 :Link;              # → ok; a notice with `noproc` follows at once when the peer is dead
    unlink @10 :UInt64;         # peer Pid → ok
    monitor @11 :Monitor;       # → ok; a notice with `noproc` follows at once when the target is dead or unknown
    demonitor @12 :UInt64;      # ref → ok
    trapExits @13 :Bool;        # no reply: only decides whether an exit signal interrupts system calls
    registerPort @14 :Text;     # → ok, or an error (taken)
    unregisterPort @15 :Text;   # → ok, or an error (unknown, somebody else's)

    openChannel @16 :OpenChannel;      # → channel
    channelDrained @17 :UInt32;        # cursor index: its sender is dead, everything was read, the cursor is 0 again. No reply
    corruptRecord @18 :CorruptRecord;  # the channel's sender wrote what is no record; the broker looks itself. No reply
    newExtent @19 :UInt64;             # size in bytes → extent; fds: its memfd
    sealExtent @20 :UInt32;            # extent id: mapped, seal it → ok
    dropExtent @21 :UInt32;            # extent id: empty, unmapped. No reply
    getExtent @22 :GetExtent;          # → ok; fds: the memfd

    startSupervisor @23 :Supervisor;   # → pid, when all its children are ready
    childVerb @24 :ChildVerb;          # start, stop, restart, delete a supervised child → ok or pid, when it has happened
    shutdown @25 :Void;                # stop the system in order → ok when it has begun
    describe @26 :Text;                # a muproc's or supervisor's name; "" is everything → nodes
    reload @27 :Reload;                # → changes, when they have been made
    newSender @28 :Void;               # → ok; fds: a socket over which another thread of the asker attaches and sends
                                       # in the asker's name
    startChild @29 :StartChild;        # a new child of a supervisor → pid when it is ready, ok when it declined to run
    whichChildren @30 :Target;         # a supervisor → children
    events @31 :EventsAfter;           # → events
    group @32 :G.GroupRequest;         # process groups
    advanceClock @33 :Int64;           # so many nanoseconds of a virtual time → ok, or an error when time is real
    deadLetters @34 :UInt32;           # with at most so many of the last → deadLetters
    drain @35 :Drain;                  # → ok when it has ended
    drained @36 :Void;                 # a muproc that is being drained has nothing more to do. No reply
  }
}

struct EventsAfter {
  number @0 :UInt64;         # only later ones
  wait @1 :Bool;             # when there are none: the answer comes with the next
}

struct Hello {
  layoutVersion @0 :UInt32;
  libraryVersion @1 :Text;
}

struct Attach {
  layoutVersion @0 :UInt32;
  libraryVersion @1 :Text;
  name @2 :Text;         # "" : the broker makes one up
  mailbox @3 :Bool;      # false: a tool that only asks; it gets no segment, no kit, and may send any request but channels
}

struct Spawn {
  child @0 :Child;
  link @1 :Bool;
  monitorRef @2 :UInt64;   # 0: none
}

struct Child {
  # One muproc to be: what SpawnOptions, supervision.hpp and a config's [muproc.x] say.
  name @0 :Text;
  union {
    entry :group {           # MUPROC_ENTRY(entry) of a module
      module @1 :Text;       # path of the shared object; "": the module of the program that runs the broker
      entry @2 :Text;
    }
    function :group {        # a function in a module that a zygote has loaded
      buildId @3 :Data;
      offset @4 :UInt64;     # from the module's load address
      module @5 :Text;       # its path, for error texts
    }
    exec @6 :List(Text);     # argv
    supervisor @7 :Supervisor;
  }
  plain @8 :Bool;            # exec: any program, no mailbox
  args @9 :M.Mumsg;
  bindings @10 :M.Mumsg;
  env @11 :List(Variable);
  cwd @12 :Text;
  errorStream @13 :Text;     # "": the spawner's; else a file to append to
  trapExits @14 :Bool;
  restart @15 :UInt8;        # muproc::Restart
  stopNs @16 :Int64;         # -1: kill; -2: forever; else how long it may take
  readyNs @17 :Int64;        # how long it may take to become ready; 0: the default
  significant @18 :Bool;
  ringSize @19 :UInt32;      # bytes; 0: the default
  stashLimit @20 :UInt64;    # bytes; 0: the default
  maxMessage @21 :UInt64;    # bytes; 0: the default
  backoff @22 :Backoff;      # absent: none
  limits @23 :Limits;        # absent: none
  readyOn @24 :UInt8;        # muproc::ReadyOn
  watchdogNs @25 :Int64;     # 0: none
  user @26 :Text;            # "": the asker's, or the broker's
  group @27 :Text;
  hasGroups @28 :Bool;
  groups @29 :List(Text);
  hasMaySend @30 :Bool;
  maySend @31 :List(Text);
  mayNotControl @32 :Bool;
  isNotTrusted @33 :Bool;
  spares @34 :UInt32;
  log @35 :LogSettings;      # absent: the system's
  sandbox @36 :Sandbox;      # absent: none
  keepsMailbox @37 :Bool;    # across restarts
  redelivers @38 :Bool;      # what was in hand at a death, if its mailbox is kept
}

struct Sandbox {
  # muproc::Sandbox
  isStrict @0 :Bool;
  syscalls @1 :List(Text);
  network @2 :Bool;
  writable @3 :List(Text);
}

struct LogSettings {
  # How what a muproc says is kept; what is not given is as the system has it.
  level @0 :UInt8;           # 1 + muproc::LogLevel, of its own log; 0: not given
  format @1 :UInt8;          # 1 + muproc::LogFormat; 0: not given
  fileSize @2 :UInt64;       # bytes; 0: not given
  files @3 :UInt32;          # 0: not given
}

struct Backoff {
  initialNs @0 :Int64;
  maxNs @1 :Int64;
  factor @2 :Float64;
  jitter @3 :Float64;
  resetAfterNs @4 :Int64;
}

struct Limits {
  # What the kernel is told to hold the process to; a missing one is inherited.
  memory @0 :UInt64;         # RLIMIT_DATA, bytes; 0: none, or its cgroup sees to it
  files @1 :UInt64;          # RLIMIT_NOFILE; 0: none
  cpus @2 :List(UInt16);     # empty: any
  hasNice @3 :Bool;
  nice @4 :Int32;
  hasCore @5 :Bool;
  core @6 :UInt64;
  hasOomScoreAdj @7 :Bool;
  oomScoreAdj @8 :Int32;
  hasUmask @9 :Bool;
  umask @10 :UInt32;
  resources @11 :List(ResourceLimit);
  hasIdentity @12 :Bool;     # as whom it runs, once the rest is done
  uid @13 :UInt32;
  gid @14 :UInt32;
  groups @15 :List(UInt32);
  confinement @16 :Confinement;   # last of all; absent: none
}

struct Confinement {
  # A sandbox as the kernel takes it.
  filter @0 :Data;           # of system calls: struct sock_filter, one after the other
  holdsFiles @1 :Bool;       # nothing can be written but what is below `writable`
  writable @2 :List(Text);
  hasNotifySocket @3 :Bool;  # it speaks to an abstract Unix socket
}

struct ResourceLimit {
  resource @0 :UInt8;        # RLIMIT_…
  value @1 :UInt64;
}

struct Variable {
  name @0 :Text;
  value @1 :Text;
}

struct Supervisor {
  name @0 :Text;             # "": the broker makes one up from its children's
  strategy @1 :UInt8;        # muproc::Strategy
  restarts @2 :UInt32;
  withinNs @3 :Int64;
  autoShutdown @4 :UInt8;    # muproc::AutoShutdown
  children @5 :List(Child);  # of a template supervisor: the template alone
  link @6 :Bool;             # to the muproc that asks
}

struct Exit {
  target @0 :UInt64;
  reason @1 :M.Reason;
  position @2 :UInt64;       # the asker's position in its channel to the target: what it sent before comes first
  hasChannel @3 :Bool;
}

struct Link {
  peer @0 :UInt64;
  ignoreNormal @1 :Bool;     # OTP's rule: the peer's normal end does not end this one
}

struct Monitor {
  ref @0 :UInt64;            # chosen by the asker, unique in it
  union {
    pid @1 :UInt64;
    name @2 :Text;
  }
}

struct OpenChannel {
  receiver @0 :UInt64;
  ringOffset @1 :UInt64;     # in the asker's segment
  ringSize @2 :UInt32;
}

struct CorruptRecord {
  cursor @0 :UInt32;
  position @1 :UInt64;
  what @2 :Text;
}

struct GetExtent {
  owner @0 :UInt64;
  extent @1 :UInt32;
}

struct Target {
  # A muproc or supervisor.
  union {
    pid @0 :UInt64;
    name @1 :Text;
  }
}

struct ChildVerb {
  name @0 :Text;             # of the child; "": the pid says which
  verb @1 :Verb;
  enum Verb { start @0; stop @1; restart @2; delete @3; }
  pid @2 :UInt64;            # of the child: that very incarnation; 0: the name says which
  supervisor @3 :Target;     # whose child it must be; absent: anybody's
}

struct StartChild {
  supervisor @0 :Target;
  union {
    child @1 :Child;         # its whole specification
    instance :group {        # of a template supervisor's one child
      name @2 :Text;         # "": the broker makes one up
      args @3 :M.Mumsg;      # added to the template's, in place of those of the same names
    }
  }
}

struct Drain {
  # It takes no new messages, finishes what waits, and is stopped then.
  name @0 :Text;
  limitNs @1 :Int64;         # it is stopped after so long whatever waits, which is an error; -1: no limit
}

struct Reload {
  file @0 :Text;             # an absolute path; "": the file that the system was launched from
  settings @1 :List(Variable);  # as with --set, over those of the launch
  isOnlyAsked @2 :Bool;      # says what would be done, and does nothing
}

# ---- the broker → a muproc or a tool ---------------------------------------------------------------------------------

struct FromBroker {
  id @0 :UInt64;             # of the request, in a reply; else 0
  union {
    kit @1 :Kit;             # fds: segment, the muproc's eventfd, directory
    go @2 :Void;             # run
    refused @3 :Text;        # instead of kit or go: why not

    ok @4 :Void;
    pid @5 :UInt64;
    error @6 :Error;
    channel @7 :Channel;     # fds: the receiver's segment, its eventfd
    extent @8 :UInt32;
    nodes @9 :List(Node);

    notice @10 :Notice;
    exitSignal @11 :ExitSignal;
    channelOpened @12 :ChannelOpened;   # fds: the sender's segment, its eventfd
    peerDown @13 :PeerDown;
    extentDropped @14 :GetExtent;
    changes @15 :Changes;
    children @16 :Children;
    events @17 :List(Event);
    group @18 :G.GroupNews;            # the reply to a group's monitor, and the notices that it brings
    deadLetters @19 :DeadLetters;
    drain @20 :Void;                   # say when nothing waits any more
    channelMoved @21 :ChannelMoved;    # fds: the successor's segment, its eventfd
  }
}

struct Children {
  isTemplate @0 :Bool;       # the supervisor's children are made from one template
  children @1 :List(ChildInfo);   # in start order
}

struct ChildInfo {
  name @0 :Text;
  pid @1 :UInt64;            # 0: no process
  isSupervisor @2 :Bool;
  state @3 :State;
  restart @4 :UInt8;         # muproc::Restart
  enum State { down @0; starting @1; running @2; stopping @3; restarting @4; }
}

struct Error {
  kind @0 :Kind;
  text @1 :Text;             # names the thing
  reason @2 :M.Reason;       # of startFailed
  enum Kind {
    failed @0; noproc @1; nameTaken @2; notFound @3; startFailed @4; permission @5; limit @6; version @7; badConfig @8;
    alreadyStarted @9; alreadyPresent @10; running @11; restarting @12;   # of a supervisor's children
    timeout @13;
  }
  pid @3 :UInt64;            # of alreadyStarted, when it has one
}

struct Kit {
  layoutVersion @0 :UInt32;
  libraryVersion @1 :Text;
  pid @2 :UInt64;
  name @3 :Text;
  parent @4 :UInt64;         # who spawned it: a muproc's Pid, a supervisor's, or nil
  args @5 :M.Mumsg;
  bindings @6 :M.Mumsg;
  errorStream @7 :Text;
  trapExits @8 :Bool;
  stashLimit @9 :UInt64;
  maxMessage @10 :UInt64;
  ringSize @11 :UInt32;
  brokerOsPid @12 :Int32;
  env @13 :List(Variable);   # module and function children set these, cwd and limits themselves, before `hello`;
  cwd @14 :Text;             # for exec children the seed's clone does it before the exec
  limits @15 :Limits;        # of an exec child: a filter that is narrower than the one with which it began
  logLevel @16 :UInt8;       # muproc::LogLevel
  stderrInode @17 :UInt64;   # of the pipe that the logger reads; 0: standard error is not captured
  keepsMailbox @18 :Bool;
  hasPredecessor @19 :Bool;  # whose mailbox it takes over before its `hello`. fds: a fourth, the predecessor's segment
  inherited @20 :List(Inherited);
  redelivers @21 :Bool;      # what was in the predecessor's hand
}

struct Inherited {
  # A channel into the predecessor. Its `channelOpened` comes before `go`.
  cursor @0 :UInt32;
  secret @1 :UInt64;
}

struct Channel {
  cursor @0 :UInt32;         # the asker's row in the receiver's cursor table
  secret @1 :UInt64;
}

struct ChannelOpened {
  cursor @0 :UInt32;
  sender @1 :UInt64;
  ringOffset @2 :UInt64;
  ringSize @3 :UInt32;
  secret @4 :UInt64;
  isNotTrusted @5 :Bool;     # its large messages are copied before they are read
  speaksFor @6 :UInt64;      # whose messages they are: the sender's own, or its muproc's when it is another thread's Sender
}

struct Notice {
  # A linked or monitored one has ended. Delivered when the channel from it is drained.
  pid @0 :UInt64;
  name @1 :Text;
  reason @2 :M.Reason;
  ref @3 :UInt64;            # of the monitor; 0: through the link
}

struct ExitSignal {
  sender @0 :UInt64;         # 0: the supervisor or a tool
  reason @1 :M.Reason;
  position @2 :UInt64;       # in the channel from the sender, if there is one
  hasChannel @3 :Bool;
}

struct PeerDown {
  # To everyone with a channel to or from it.
  pid @0 :UInt64;
  reason @1 :M.Reason;
  hasCounted @2 :Bool;       # there was a channel to it, and
  counted @3 :UInt64;        # what was sent before that position the broker has counted, if it was not read
  isKept @4 :Bool;           # its mailbox is: a channel to it stays, for its successor
}

struct ChannelMoved {
  # Of the receiver of a message: its successor reads the channel from now on, where it had got to.
  from @0 :UInt64;           # the one that has ended
  to @1 :UInt64;
  cursor @2 :UInt32;
}

struct DeadLetters {
  # What reached nobody, since the system began.
  counts @0 :List(UInt64);   # by shm::Drop
  targets @1 :List(DropTarget);   # the most first
  last @2 :List(DeadLetter);      # oldest first
}

struct DropTarget {
  pid @0 :UInt64;            # the latest of that name; 0 with a name of "": names that nobody had, and what was not told apart
  name @1 :Text;             # "": it is not known any more
  count @2 :UInt64;
}

struct DeadLetter {
  wallNs @0 :Int64;          # CLOCK_REALTIME
  from @1 :UInt64;           # 0: not known
  fromName @2 :Text;
  to @3 :UInt64;
  toName @4 :Text;
  drop @5 :UInt32;           # shm::Drop
  kind @6 :UInt32;           # shm::RecordKind
  typeId @7 :UInt64;
  text @8 :Text;             # the names of a mumsg's fields
  count @9 :UInt64;          # so many of them
}

struct Node {
  # A row for ps, tree and show.
  name @0 :Text;
  pid @1 :UInt64;
  osPid @2 :Int32;
  kind @3 :UInt32;           # shm::SlotKind
  state @4 :UInt32;          # shm::SlotState
  parent @5 :Text;           # the supervisor's name, "" for the root and for what was spawned
  restarts @6 :UInt32;
  startedNs @7 :UInt64;      # sys::monotonic
  lastExit @8 :Text;
  strategy @9 :Text;         # supervisors: as the config has it
  limitRestarts @10 :UInt32;
  limitWithinNs @11 :Int64;
  restart @12 :Text;         # "permanent" …
  stop @13 :Text;            # "kill", "5s", "forever"
  ports @14 :List(Text);
  links @15 :List(UInt64);
  monitors @16 :List(UInt64);
  code @17 :Text;            # "libarea.so:areaserver", the argv, …
  nodeStatus @18 :Status;
  memoryLimit @19 :Text;     # "512MiB by RLIMIT_DATA", "512MiB by the cgroup /…"; "": none
  user @20 :Text;            # as whom it runs; "": as the broker
  saidStatus @21 :Text;      # of a plain program: its STATUS= on the notify socket
  watchdogNs @22 :Int64;     # 0: none
  spares @23 :UInt32;        # children that are to wait for its end, cloned in advance
  sparesReady @24 :UInt32;   # and so many do
  sandbox @25 :Text;         # "strict, writes below /var/lib/x"; "": none
  keepsMailbox @26 :Bool;
  inHand @27 :Text;          # "drop", "redeliver"
  keptMessages @28 :UInt64;  # that were waiting when a successor took over, of all restarts
  redelivered @29 :UInt64;   # times that a message in hand at a death was put back
  droppedInHand @30 :UInt64;
}

struct Changes {
  # What a reload has done, or would do, in order.
  warnings @0 :Text;         # of the new config, as mubroker prints them
  changes @1 :List(Change);
}

struct Change {
  verb @0 :Text;             # "keep", "change", "restart", "add", "remove", "move"
  name @1 :Text;             # of a muproc or supervisor; "": of the system
  details @2 :List(Text);    # "stop: 5s → kill"
  error @3 :Text;            # why it could not be done; "": it was
}

struct Status {
  # Out of the muproc's own segment, which the broker reads for the tools.
  activity @0 :UInt32;
  trapsExits @1 :Bool;
  messagesSent @2 :UInt64;
  messagesReceived @3 :UInt64;
  stashMessages @4 :UInt64;
  stashBytes @5 :UInt64;
  sentToDead @6 :UInt64;
  malformed @7 :UInt64;
  sendsBlocked @8 :UInt64;
  wakes @9 :UInt64;
}

struct Event {
  # A birth, a death or a decision, for muctl events.
  number @0 :UInt64;         # from 1, without gaps: a gap says that events have been forgotten
  wallNs @1 :Int64;          # CLOCK_REALTIME
  kind @2 :Text;             # "birth", "death", "start_failed", "restart", …
  name @3 :Text;             # whom it is about; "" for the system
  pid @4 :UInt64;
  osPid @5 :Int32;
  text @6 :Text;             # for people
  reason @7 :Text;           # of a death; else ""
}

# ---- the broker ↔ its logger -----------------------------------------------------------------------------------------

struct ToLogger {
  union {
    open @0 :OpenLog;            # fds: the read ends of its standard output and standard error
    ended @1 :UInt64;            # the muproc with that Pid: what is in its pipes now is its last word
    crash @2 :Crash;             # fds: its segment, if it has one
    finish @3 :Void;             # everybody has ended: write what is left, and end
    change @4 :OpenLog;          # what that muproc says is kept like this from now on
    console @5 :Bool;            # whether what muprocs say is shown on the console from now on
  }
}

struct OpenLog {
  pid @0 :UInt64;
  name @1 :Text;
  osPid @2 :Int32;
  file @3 :Text;                 # its path
  speaksLevels @4 :Bool;         # it has the runtime, so lines may begin with a level (wire/log_line.hpp)
  format @5 :UInt8;              # muproc::LogFormat
  fileSize @6 :UInt64;           # bytes
  files @7 :UInt32;
}

struct Crash {
  # Whose report is to be written.
  pid @0 :UInt64;
  name @1 :Text;
  osPid @2 :Int32;
  reason @3 :M.Reason;
  signal @4 :Int32;              # by which the kernel says that it ended; 0: none
  coreDumped @5 :Bool;
  code @6 :Text;                 # what it ran
  restarts @7 :UInt32;
  decision @8 :Text;             # what its supervisor did
  uptimeNs @9 :Int64;
  wallNs @10 :Int64;
  inHand @11 :List(CrashInHand);
  folder @12 :Text;              # where reports are
  keep @13 :UInt32;              # so many reports
  unreported @14 :UInt32;        # ends of the same muproc since its previous report
}

struct CrashInHand {
  sender @0 :UInt64;
  senderName @1 :Text;           # "": it has gone
  typeId @2 :UInt64;
  ageNs @3 :Int64;
  fate @4 :Text;                 # what becomes of it, where the mailbox is kept; else ""
}

struct FromLogger {
  union {
    closed @0 :UInt64;           # nothing more can come from that muproc's pipes
    trouble @1 :Text;            # for the broker's log
    reported @2 :Text;           # the path of a crash report
  }
}

# ---- the broker ↔ seed and zygotes -----------------------------------------------------------------------------------

struct ToZygote {
  id @0 :UInt64;
  union {
    cloneZygote @1 :Text;        # the seed: a new zygote for that module, "" for the broker's own image. fds: its socket
    cloneEntry @2 :Text;         # a zygote: a child that runs MUPROC_ENTRY(name). fds: its control socket, its output
    cloneFunction @3 :UInt64;    # a zygote: a child that runs the function at that offset of the module `buildId`. fds: as above
    cloneExec @4 :ExecSpec;      # the seed: a child that execs. fds: status, its control socket unless plain, its output
  }
  buildId @5 :Data;              # of cloneFunction
  output @6 :Bool;               # the last two descriptors become the child's standard output and standard error
  cgroup @7 :Text;               # the folder of the cgroup in which the child begins; "": that of who clones it
}

struct ExecSpec {
  argv @0 :List(Text);
  env @1 :List(Variable);
  cwd @2 :Text;
  plain @3 :Bool;
  limits @4 :Limits;
}

struct FromZygote {
  id @0 :UInt64;
  union {
    cloned @1 :Int32;            # OS pid of the new child, which is the broker's own
    failed @2 :Text;
    loaded @3 :Loaded;           # a zygote's first word
  }
}

struct Loaded {
  error @0 :Text;                # "" when it is ready
  entries @1 :List(Text);        # what MUPROC_ENTRY registered
  buildIds @2 :List(Data);       # of all modules in its image
}
