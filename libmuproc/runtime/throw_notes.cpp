// Where an exception that ends a muproc was thrown.
//
// When it is caught in the runtime the stack of the throw has been unwound. But before anything is unwound the C++ runtime
// looks for a handler, and asks the type_info of each catch clause on the way whether it matches (__do_catch, as libstdc++
// has it). So run_noted catches a type of which nothing is ever thrown, and the type_info of that type is ours: its answer
// is always no, and it takes notes. Who throws and catches inside of his own function never gets here.
//
// The definition under the type_info's own symbol is invisible to the compiler's whole-program view, so this file is
// compiled without it (libmuproc/CMakeLists.txt).
#include <typeinfo>

#include "runtime/crash_notes.hpp"

namespace muproc::detail {

class NoSuchException {
 public:
  virtual ~NoSuchException();  // defined nowhere, so that the compiler defines no type_info
};

namespace {

class NotingType final : public std::type_info {
 public:
  NotingType() : std::type_info("N6muproc6detail15NoSuchExceptionE") {}
  bool __do_catch(const std::type_info* thrown, void**, unsigned) const override {
    if (thrown) note_thrown(*thrown);
    return false;
  }
};

}  // namespace

extern NotingType noting_type asm("_ZTIN6muproc6detail15NoSuchExceptionE");
__attribute__((used)) NotingType noting_type;

__attribute__((noinline)) void run_noted(Function function, Self& self) {
  try {
    function(self);
  } catch (NoSuchException&) {
  }
}

}  // namespace muproc::detail
