# What the documentation quotes is compiled and run: the README's first program becomes a module beside its own config,
# in docs/ of the build tree, and tests/scenario/readme_test.cpp launches it.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/README.md")

# doc_block(page language output): writes the page's first fenced block of that language to a file.
function(doc_block page language output)
  file(READ "${page}" text)
  # A block is taken character by character: CMake's lists would eat its semicolons and brackets.
  string(FIND "${text}" "```${language}\n" begin)
  if(begin EQUAL -1)
    message(FATAL_ERROR "${page} has no block of ${language}")
  endif()
  string(LENGTH "```${language}\n" fence)
  math(EXPR begin "${begin} + ${fence}")
  string(SUBSTRING "${text}" ${begin} -1 text)
  string(FIND "${text}" "\n```" end)
  string(SUBSTRING "${text}" 0 ${end} block)
  file(CONFIGURE OUTPUT "${output}" CONTENT "${block}\n" @ONLY NEWLINE_STYLE UNIX)
endfunction()

set(docs_dir "${PROJECT_BINARY_DIR}/docs")
doc_block("${PROJECT_SOURCE_DIR}/README.md" cpp "${docs_dir}/area.cpp")
doc_block("${PROJECT_SOURCE_DIR}/README.md" toml "${docs_dir}/area.toml")
muproc_add_module(readme_area "${docs_dir}/area.cpp")
set_target_properties(readme_area PROPERTIES OUTPUT_NAME area LIBRARY_OUTPUT_DIRECTORY "${docs_dir}")
set_property(SOURCE support/paths.cpp APPEND PROPERTY COMPILE_DEFINITIONS "MUPROC_DOCS_DIR=\"${docs_dir}\"")
