// What a dying muproc writes down for its crash report, in the crash area of its own segment (shm/layout.hpp).
//
// As little as can be: in a signal handler, on a stack of its own, with async-signal-safe calls only, no memory asked
// for and no lock taken, so that a heap in ruins or a stack that is full does not matter. Noted are the signal, each
// thread's registers and a copy of its stack, /proc/self/maps, and the build ids of what is mapped. Then the signal's
// default action takes its course, so what the kernel says of the end is the truth. Unwinding and symbols are the
// reporter's work, in another process, after the death.
//
// Handlers are installed only for signals whose action is the default one at birth: who has handlers of his own (a
// sanitizer, a program's own sigaction before muproc::main) keeps them, and one that is installed later replaces ours.
// With AddressSanitizer or ThreadSanitizer in the process nothing is installed. The same for std::terminate: our handler
// notes the exception and calls the one that was there.
//
// If the process dies in the middle of this (SIGKILL, a second fault) the block says that it is only begun.
#pragma once

#include <memory>
#include <typeinfo>

#include <muproc/supervision.hpp>

#include "shm/segment.hpp"

namespace muproc::detail {

/// From now on this process notes its crashes there. Once in a process, by the thread that is the muproc.
void install_crash_notes(std::shared_ptr<shm::OwnSegment> segment);

/// Runs the function. An exception that leaves it is noted where it is thrown, while the stack is still there
/// (throw_notes.cpp).
void run_noted(Function function, Self& self);
/// This exception, thrown here, will end the muproc.
void note_thrown(const std::type_info& type) noexcept;

/// In the handler of sys::k_interrupt_signal: if another thread is crashing, notes this one for it.
void note_this_thread_if_crashing(void* context) noexcept;

}  // namespace muproc::detail
