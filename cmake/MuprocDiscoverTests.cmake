# muproc_discover_tests(target suite)
#
# Makes each TEST_CASE of a Catch2 executable a ctest named "SUITE:title", labelled SUITE. As catch_discover_tests does
# it, but titles are sentences, and sentences may have semicolons. (Included, this file defines the function; run as a
# script after the link, it writes the list.)
if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(MUPROC_DISCOVER_SCRIPT "${CMAKE_CURRENT_LIST_FILE}")

  function(muproc_discover_tests target suite)
    set(list "${CMAKE_CURRENT_BINARY_DIR}/${target}_list.cmake")
    add_custom_command(TARGET ${target} POST_BUILD BYPRODUCTS "${list}" VERBATIM
      COMMAND "${CMAKE_COMMAND}" "-DEXECUTABLE=$<TARGET_FILE:${target}>" "-DSUITE=${suite}" "-DLIST=${list}"
              "-DCATCH_VERSION=${Catch2_VERSION}" -P "${MUPROC_DISCOVER_SCRIPT}")
    set(include "${CMAKE_CURRENT_BINARY_DIR}/${target}_include.cmake")
    file(WRITE "${include}" "if(EXISTS \"${list}\")\n  include(\"${list}\")\n"
                            "else()\n  add_test(\"${suite}:is built\" ${target}_was_not_built)\nendif()\n")
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${include}")
  endfunction()

  return()
endif()

if(CATCH_VERSION VERSION_LESS 3)
  set(list_titles --list-test-names-only)  # its exit status is the number of titles
else()
  set(list_titles --list-tests --verbosity quiet)
endif()
execute_process(COMMAND "${EXECUTABLE}" ${list_titles} OUTPUT_VARIABLE titles RESULT_VARIABLE result)
if(NOT titles OR NOT result MATCHES "^[0-9]+$")
  message(FATAL_ERROR "${EXECUTABLE} lists no tests: ${result}\n${titles}")
endif()

# CMake's lists are split at semicolons, and not inside brackets.
string(REPLACE ";" "<semicolon>" titles "${titles}")
string(REPLACE "[" "<open>" titles "${titles}")
string(REPLACE "]" "<close>" titles "${titles}")
string(REGEX REPLACE "\n+$" "" titles "${titles}")
string(REPLACE "\n" ";" titles "${titles}")

set(script)
foreach(title IN LISTS titles)
  string(REPLACE "<semicolon>" ";" title "${title}")
  string(REPLACE "<open>" "[" title "${title}")
  string(REPLACE "<close>" "]" title "${title}")
  # What Catch would take for more than itself in a title to select.
  string(REGEX REPLACE "([][,\"\\\\])" "\\\\\\1" selected "${title}")
  string(APPEND script
    "add_test([==[${SUITE}:${title}]==] [==[${EXECUTABLE}]==] [==[${selected}]==])\n"
    "set_tests_properties([==[${SUITE}:${title}]==] PROPERTIES TIMEOUT 120 LABELS [==[${SUITE}]==])\n")
endforeach()
file(WRITE "${LIST}" "${script}")
