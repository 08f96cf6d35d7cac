#include <muproc/carry.hpp>

namespace muproc::detail {

const List& expect_list(const Value& value, std::size_t size) {
  const auto* list = std::get_if<List>(&value.variant());
  if (!list) throw ValueError("a value of kind " + std::string(to_string(value.kind())) + ", where a list was expected");
  if (list->size() != size)
    throw ValueError("a list of " + std::to_string(list->size()) + ", where " + std::to_string(size) +
                     " values were expected");
  return *list;
}

}  // namespace muproc::detail
