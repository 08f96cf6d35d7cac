// The examples of the documentation's pages, compiled: made from them by tests/docs_blocks.awk.
#pragma once

#include <initializer_list>
#include <vector>

#include <muproc/self.hpp>

namespace muproc::test {

struct PageBlock {
  const char* page;
  int line;  // of its opening fence
  Function example;
};

inline std::vector<PageBlock>& page_blocks() {
  static std::vector<PageBlock> blocks;
  return blocks;
}

inline bool register_page_blocks(std::initializer_list<PageBlock> blocks) {
  page_blocks().insert(page_blocks().end(), blocks);
  return true;
}

}  // namespace muproc::test
