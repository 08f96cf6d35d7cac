#include "runtime/interrupt.hpp"

#include <csignal>

#include "sys/error.hpp"
#include "sys/process.hpp"

namespace muproc::detail {

volatile bool interrupted = false;

namespace {
void note(int) { interrupted = true; }
}  // namespace

void install_interrupt() {
  struct sigaction action {};
  action.sa_handler = note;
  sigemptyset(&action.sa_mask);
  sys::check(::sigaction(sys::k_interrupt_signal, &action, nullptr), "sigaction");
  sys::set_parent_death_signal(sys::k_interrupt_signal);
}

}  // namespace muproc::detail
