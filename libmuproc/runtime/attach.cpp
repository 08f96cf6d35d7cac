// Joining a system from a process that the broker did not make: an exec child through its inherited socket, an outsider
// through the system's control socket.
#include <muproc/detail/names.hpp>
#include <muproc/entry.hpp>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "runtime/birth.hpp"
#include "sys/error.hpp"
#include "wire/control_socket.hpp"

namespace muproc {

int main(int, char** argv, Function function) {
  const char* variable = std::getenv(detail::k_control_fd_variable);
  if (!variable) {
    std::fprintf(stderr,
                 "%s is a muproc: it is started by a broker, from a config with exec = [\"%s\"], or by spawn with "
                 "muproc::exec.\n",
                 argv[0], argv[0]);
    return 2;
  }
  const int fd = std::atoi(variable);
  ::unsetenv(detail::k_control_fd_variable);
  try {
    sys::set_close_on_exec(fd, true);
    auto runtime = detail::be_born(wire::FrameSocket(sys::UniqueFd(fd)), detail::Origin::execed);
    const Reason reason = detail::live(*runtime, function);
    (void)runtime.release();  // static destructors may still log; the maps go with the process
    return reason.is(Reason::Kind::exception) ? 1 : 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s: cannot start: %s\n", argv[0], failure.what());
  } catch (const ExitSignal&) {
  }
  return 1;
}

struct Attachment::Impl {
  std::unique_ptr<detail::Runtime> runtime;
};

Attachment::Attachment(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Attachment::Attachment(Attachment&&) noexcept = default;

Attachment& Attachment::operator=(Attachment&& other) noexcept {
  if (this != &other) {
    Attachment gone(std::move(*this));
    impl_ = std::move(other.impl_);
  }
  return *this;
}

Attachment::~Attachment() {
  if (!impl_) return;
  if (detail::Runtime::current() != impl_->runtime.get()) {
    (void)impl_->runtime.release();  // a forked process: the membership, and its memory, are its parent's
    return;
  }
  try {
    impl_->runtime->say_exiting(Reason::normal());
  } catch (...) {
    // The broker has gone: there is nobody to say it to.
  }
}

Self& Attachment::operator*() const { return impl_->runtime->self(); }

Attachment attach(std::string_view system, AttachOptions options) {
  wire::FrameSocket socket(wire::connect_control(wire::find_system(system)));
  auto impl = std::make_unique<Attachment::Impl>();
  impl->runtime = detail::join(std::move(socket), options.name, options.timeout);
  return Attachment(std::move(impl));
}

}  // namespace muproc
