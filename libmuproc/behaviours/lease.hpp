// Scratch memory for one message, given back when it was sent or not.
#pragma once

#include "runtime/runtime.hpp"

namespace muproc::detail {

class Lease {
 public:
  explicit Lease(Runtime& runtime) : runtime_(runtime), lease_(runtime.lease()) {}
  ~Lease() { runtime_.give_back(lease_); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ScratchLease& operator*() { return *lease_; }
  capnp::MessageBuilder& builder() { return lease_->builder(); }

 private:
  Runtime& runtime_;
  ScratchLease* lease_;
};

}  // namespace muproc::detail
