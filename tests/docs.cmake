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

# page_blocks(name parts): all C++ blocks of docs/NAME.md, as `parts` sources for scenario_tests: see docs_blocks.awk.
find_program(AWK awk REQUIRED)
function(page_blocks name parts)
  set(page "${PROJECT_SOURCE_DIR}/docs/${name}.md")
  math(EXPR last "${parts} - 1")
  foreach(part RANGE ${last})
    set(source "${docs_dir}/${name}_${part}.cpp")
    add_custom_command(OUTPUT "${source}" VERBATIM
      COMMAND "${CMAKE_COMMAND}" "-DAWK=${AWK}" "-DSCRIPT=${PROJECT_SOURCE_DIR}/tests/docs_blocks.awk" "-DNAME=${name}"
              "-DPART=${part}" "-DPARTS=${parts}" "-DPAGE=${page}" "-DOUTPUT=${source}"
              -P "${PROJECT_SOURCE_DIR}/tests/docs_blocks.cmake"
      DEPENDS "${page}" "${PROJECT_SOURCE_DIR}/tests/docs_blocks.awk" "${PROJECT_SOURCE_DIR}/tests/docs_blocks.cmake")
    list(APPEND page_sources "${source}")
  endforeach()
  set(page_sources "${page_sources}" PARENT_SCOPE)
endfunction()

# docs/testing.md's two tests are built and run by tests/consumer.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/docs/testing.md")
doc_block("${PROJECT_SOURCE_DIR}/docs/testing.md" cpp "${docs_dir}/testing_catch.cpp")
doc_block("${PROJECT_SOURCE_DIR}/docs/testing.md" c++ "${docs_dir}/testing_googletest.cpp")

page_blocks(groups 1)
page_blocks(tasks 1)
page_blocks(from-cl-muproc 4)
page_blocks(from-erlang 6)
page_blocks(state-machines 2)
page_blocks(event-managers 1)

# doc_blocks(page language output): all of a page's blocks of that language, one after another.
function(doc_blocks page language output)
  file(READ "${page}" text)
  set(all "")
  while(TRUE)
    string(FIND "${text}" "```${language}\n" begin)
    if(begin EQUAL -1)
      break()
    endif()
    string(LENGTH "```${language}\n" fence)
    math(EXPR begin "${begin} + ${fence}")
    string(SUBSTRING "${text}" ${begin} -1 text)
    string(FIND "${text}" "\n```" end)
    string(SUBSTRING "${text}" 0 ${end} block)
    string(SUBSTRING "${text}" ${end} -1 text)
    string(APPEND all "${block}\n\n")
  endwhile()
  file(CONFIGURE OUTPUT "${output}" CONTENT "${all}" @ONLY NEWLINE_STYLE UNIX)
endfunction()

# docs/servers.md is one module, run by tests/scenario/servers_page_test.cpp.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/docs/servers.md")
doc_blocks("${PROJECT_SOURCE_DIR}/docs/servers.md" cpp "${docs_dir}/servers.cpp")
doc_block("${PROJECT_SOURCE_DIR}/docs/servers.md" capnp "${docs_dir}/shapes.capnp")
doc_block("${PROJECT_SOURCE_DIR}/docs/servers.md" toml "${docs_dir}/servers.toml")
muproc_add_module(servers_page "${docs_dir}/servers.cpp" "${docs_dir}/shapes.capnp")
set_target_properties(servers_page PROPERTIES OUTPUT_NAME servers LIBRARY_OUTPUT_DIRECTORY "${docs_dir}")
