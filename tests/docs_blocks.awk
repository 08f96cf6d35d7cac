# Makes a source of a page's fenced blocks of C++: every `parts`-th of them, beginning with number `part`.
#
# A block is either declarations, with `void example(Self& self)` among them, or statements, which are put into such a
# function. Each has a namespace of its own; `#line` lets errors speak of the page. The functions are registered, with the
# page's name and the line, for tests/scenario/pages_test.cpp to run.
#
# Usage: awk -f docs_blocks.awk -v page=NAME -v part=0 -v parts=4 PAGE

function flush_block(    i, is_whole) {
  is_whole = 0
  for (i = 1; i <= size; ++i) {
    if (block[i] ~ /^void example\(Self& self\) \{/) is_whole = 1
    if (block[i] ~ /^#include /) {
      includes = includes block[i] "\n"
      block[i] = ""
    }
  }
  body = body "\nnamespace block_" begin " {\n"
  if (!is_whole) body = body "void example([[maybe_unused]] Self& self) {\n"
  body = body "#line " begin + 1 " \"" FILENAME "\"\n"
  for (i = 1; i <= size; ++i) body = body block[i] "\n"
  if (!is_whole) body = body "}\n"
  body = body "}  // namespace block_" begin "\n"
  rows = rows "  {\"" page "\", " begin ", &block_" begin "::example},\n"
}

/^```cpp$/ { inside = count++ % parts == part ? 1 : 2; begin = FNR; size = 0; next }
/^```/ {
  if (inside == 1) flush_block()
  inside = 0
  next
}
inside == 1 { block[++size] = $0 }

END {
  if (inside) { print FILENAME ": the last block is not closed" > "/dev/stderr"; exit 1 }
  printf "// The blocks of docs/%s.md, part %d. Made; do not edit.\n", page, part
  # To the compiler a page is a header, which had better not give a class with linkage a base without it.
  print "#pragma GCC diagnostic ignored \"-Wsubobject-linkage\""
  print "#undef NDEBUG"
  print "#include <cassert>\n"
  print "#include <muproc/muproc.hpp>\n"
  print "#include \"support/page_blocks.hpp\"\n"
  printf "%s\n", includes
  print "#pragma GCC diagnostic ignored \"-Wunused-variable\""
  print "#pragma GCC diagnostic ignored \"-Wunused-function\""
  print "#pragma GCC diagnostic ignored \"-Wunused-parameter\"\n"
  print "using namespace muproc;"
  print "using namespace muproc::literals;"
  print "using namespace std::chrono_literals;\n"
  print "namespace {"
  printf "%s", body
  print "\nconst bool registered = muproc::test::register_page_blocks({"
  printf "%s", rows
  print "});\n\n}  // namespace"
}
