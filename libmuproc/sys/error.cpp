#include "sys/error.hpp"

#include <string>
#include <system_error>

namespace muproc::sys {

void throw_errno(std::string_view operation, std::string_view operand, int error) {
  std::string text(operation);
  if (!operand.empty()) (text += ' ') += operand;
  throw std::system_error(error, std::generic_category(), text);
}

}  // namespace muproc::sys
