#include "broker/signals.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace muproc::broker {
namespace {

// What the handler needs, and nobody else.
std::atomic<int> news_fd = -1;
std::atomic<unsigned> terms, interrupts, hangups, children;

void note(int signal) {
  const int error = errno;
  (signal == SIGTERM ? terms : signal == SIGINT ? interrupts : signal == SIGHUP ? hangups : children).fetch_add(1);
  if (const int fd = news_fd.load(); fd >= 0) sys::signal_eventfd(fd);
  errno = error;
}

}  // namespace

Signals::Signals(Loop& loop, bool children_too, std::function<void(int)> call) : eventfd_(sys::create_eventfd()), call_(std::move(call)) {
  int nobody = -1;
  if (!news_fd.compare_exchange_strong(nobody, eventfd_.get())) return;
  watch_ = loop.when_readable(eventfd_.get(), [this] { hear(); });
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) catch_signal(signal);
  if (children_too) catch_signal(SIGCHLD);
}

Signals::~Signals() {
  for (const Former& former : former_) ::sigaction(former.signal, &former.action, nullptr);
  int ours = eventfd_.get();
  news_fd.compare_exchange_strong(ours, -1);
  watch_.stop();
}

/// A signal that whoever started us wants ignored (nohup) stays ignored.
void Signals::catch_signal(int signal) {
  struct sigaction action {};
  action.sa_handler = note;
  action.sa_flags = SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  Former former{signal, {}};
  ::sigaction(signal, nullptr, &former.action);
  if (signal == SIGHUP && former.action.sa_handler == SIG_IGN) return;
  ::sigaction(signal, &action, nullptr);
  former_.push_back(former);
}

void Signals::hear() {
  std::uint64_t count;
  while (::read(eventfd_.get(), &count, sizeof count) > 0) {
  }
  for (unsigned n = terms.exchange(0); n > 0; --n) call_(SIGTERM);
  for (unsigned n = interrupts.exchange(0); n > 0; --n) call_(SIGINT);
  if (hangups.exchange(0)) call_(SIGHUP);
  if (children.exchange(0)) call_(SIGCHLD);
}

ForgivingPipes::ForgivingPipes() {
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &pipe_);
  ::sigaction(SIGCHLD, nullptr, &child_);
  if (child_.sa_handler != SIG_IGN && !(child_.sa_flags & SA_NOCLDWAIT)) return;
  struct sigaction usual {};
  usual.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &usual, nullptr);
}

ForgivingPipes::~ForgivingPipes() {
  ::sigaction(SIGPIPE, &pipe_, nullptr);
  ::sigaction(SIGCHLD, &child_, nullptr);
}

}  // namespace muproc::broker
