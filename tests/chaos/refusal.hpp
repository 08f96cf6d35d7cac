// System calls that the kernel refuses in a process of one's choice, the nth of a kind: as when there is no memory for
// a map, a memfd or a message between processes.
//
// This program has functions of its own for those calls, and they stand before those of the C library in all that is
// loaded with it. So the test's own process has them, its broker and whoever is cloned from them, and one page that
// they all share tells them what to refuse.
//
//     make_refusals();                          // before the system: its processes then share them
//     LiveSystem system;
//     Refusal refusal(Refusable::mmap, ENOMEM, Whom::only(system.broker().os_pid()), 3);
//     …
//     refusal.end();
//     CHECK(refusal.has_struck());
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <vector>

namespace muproc::test {

enum class Refusable {
  none,
  memfd_create,
  ftruncate,
  eventfd,
  mmap,
  madvise,
  mprotect,
  socketpair,
  pipe2,
  epoll_ctl,
  sendmsg
};
const char* to_string(Refusable call);

/// Makes the page. Nothing is refused before.
void make_refusals();

/// Whose calls are refused.
struct Whom {
  static Whom only(pid_t os_pid) { return {{os_pid}, false}; }
  /// Of those who are none of these: of who is born from now on.
  static Whom all_but(std::vector<pid_t> os_pids) { return {std::move(os_pids), true}; }
  std::vector<pid_t> os_pids;
  bool is_all_but;
};

/// One at a time.
class Refusal {
 public:
  /// Their nth call from now on fails with that error, and those after it succeed; or with `for_good`, they fail too.
  Refusal(Refusable call, int error, const Whom& whom, std::size_t nth, bool for_good = false);
  ~Refusal() { end(); }
  Refusal(const Refusal&) = delete;
  Refusal& operator=(const Refusal&) = delete;
  void end() noexcept;
  bool has_struck() const;
};

}  // namespace muproc::test
