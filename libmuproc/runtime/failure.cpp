#include "runtime/failure.hpp"

#include <cxxabi.h>
#include <muproc/self.hpp>

#include <cstdlib>
#include <exception>
#include <memory>
#include <typeinfo>

namespace muproc::detail {
namespace {

std::string demangled(const char* name) {
  int status = 0;
  std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(name, nullptr, nullptr, &status), &std::free);
  return status == 0 ? text.get() : name;
}

}  // namespace

Reason reason_of_current_exception() {
  try {
    throw;
  } catch (const ExitSignal& signal) {
    return signal.reason;
  } catch (const LimitExpired&) {
    return Reason::exception("muproc::LimitExpired", "a time limit outlived its with_timeout");
  } catch (const std::exception& error) {
    return Reason::exception(demangled(typeid(error).name()), error.what());
  } catch (...) {
    const std::type_info* type = abi::__cxa_current_exception_type();
    return Reason::exception(type ? demangled(type->name()) : "unknown", "");
  }
}

}  // namespace muproc::detail
