// A Sender is a membership like an outsider's, over a socket that the broker made for it, and speaks for its muproc.
#include <muproc/sender.hpp>

#include "runtime/birth.hpp"

namespace muproc {

struct Sender::Impl {
  Pid speaks_for;
  wire::FrameSocket socket;                  // until it has joined
  std::unique_ptr<detail::Runtime> runtime;  // from then on
};

Sender Self::sender() {
  auto& runtime = detail::Runtime::of(*this);
  return Sender(std::make_unique<Sender::Impl>(Sender::Impl{pid(), wire::FrameSocket(runtime.new_sender()), nullptr}));
}

Sender::Sender(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Sender::Sender(Sender&&) noexcept = default;

Sender& Sender::operator=(Sender&& other) noexcept {
  if (this != &other) {
    Sender gone(std::move(*this));
    impl_ = std::move(other.impl_);
  }
  return *this;
}

Sender::~Sender() {
  if (!impl_ || !impl_->runtime) return;
  if (detail::Runtime::in_forked_process()) {
    (void)impl_->runtime.release();  // the membership, and its memory, are the parent's
    return;
  }
  // Destroyed in another thread than the one that sent, it leaves without a word: the broker sees its socket close.
  if (detail::Runtime::current() != impl_->runtime.get()) return;
  try {
    impl_->runtime->say_exiting(Reason::normal());
  } catch (...) {
    // The broker has gone: there is nobody to say it to.
  }
}

Pid Sender::pid() const { return impl_->speaks_for; }

Self& Sender::self() {
  if (!impl_->runtime) impl_->runtime = detail::join(std::move(impl_->socket), {}, std::chrono::seconds(10));
  return impl_->runtime->self();
}

}  // namespace muproc
