#include "runtime/interrupt.hpp"

#include <csignal>

#include "runtime/crash_notes.hpp"
#include "sys/error.hpp"
#include "sys/process.hpp"

namespace muproc::detail {

volatile bool interrupted = false;

namespace {
void note(int, siginfo_t*, void* context) {
  interrupted = true;
  note_this_thread_if_crashing(context);
}
}  // namespace

void install_interrupt() {
  struct sigaction action {};
  action.sa_sigaction = note;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sys::check(::sigaction(sys::k_interrupt_signal, &action, nullptr), "sigaction");
  sys::set_parent_death_signal(sys::k_interrupt_signal);
}

}  // namespace muproc::detail
