// How code becomes a muproc: an entry of a module, a program's main, an outsider that joins.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <muproc/detail/child.hpp>
#include <muproc/self.hpp>

/// Registers `void function(Self&)` under its name as an entry of this module (a shared object): a config's
/// `entry = "function"`, or `module("libfoo.so", "function")`. At namespace scope, where the function can be seen.
#define MUPROC_ENTRY(function) \
  static const ::muproc::detail::EntryRegistration muproc_entry_of_##function{#function, &function};

/// Runs `void function()` once in the module's zygote, before any muproc is cloned from it: what it loads is there in
/// every child. It must not start threads.
#define MUPROC_PRELOAD(function) \
  static const ::muproc::detail::PreloadRegistration muproc_preload_of_##function{&function};

namespace muproc {

/// The main of a program that is a muproc by itself (`exec` in a config or spawn): joins through the inherited socket,
/// runs the function, and returns what the program should return. Started by hand it says how to start it and returns 2.
int main(int argc, char** argv, Function function);

struct AttachOptions {
  std::string name = {};  ///< empty: made up
  std::chrono::nanoseconds timeout = std::chrono::seconds(10);
};

/// An outsider's membership: a temporary muproc in a process that is nobody's child. Ends with this object (its links
/// and monitors hear `normal`) or with the process. One at a time in a thread; move-only.
class Attachment {
 public:
  Attachment(Attachment&&) noexcept;
  Attachment& operator=(Attachment&&) noexcept;
  ~Attachment();
  Self& operator*() const;
  Self* operator->() const { return &**this; }

 private:
  friend Attachment attach(std::string_view system, AttachOptions options);
  struct Impl;
  explicit Attachment(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Joins a running system. `system` is its name, a path of its runtime folder, or empty: $MUPROC_SYSTEM, or the only one
/// that runs. Throws NoSuchName when there is none, Error when it refuses. cl-muproc: muprocn.
Attachment attach(std::string_view system = {}, AttachOptions options = {});

}  // namespace muproc
