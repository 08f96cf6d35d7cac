# Installs a build tree below itself, then configures, builds and runs tests/consumer against what was installed.
# Variables: MUPROC_BUILD, EXAMPLES, CONFIG, GENERATOR, CXX, SANITIZE.
set(prefix "${MUPROC_BUILD}/consumer/prefix")
set(build "${MUPROC_BUILD}/consumer/build")
file(REMOVE_RECURSE "${prefix}" "${build}")

set(flags)
if(SANITIZE)
  list(TRANSFORM SANITIZE REPLACE "^fuzzer$" "fuzzer-no-link")
  list(JOIN SANITIZE "," flags)
  set(flags "-DCMAKE_CXX_FLAGS=-fsanitize=${flags}")
endif()

function(step)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nexited with ${result}:\n${output}")
  endif()
endfunction()

step("${CMAKE_COMMAND}" --install "${MUPROC_BUILD}" --config "${CONFIG}" --prefix "${prefix}")
step("${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}" -B "${build}" -G "${GENERATOR}" "-DCMAKE_BUILD_TYPE=${CONFIG}"
     "-DCMAKE_CXX_COMPILER=${CXX}" "-DCMAKE_PREFIX_PATH=${prefix}" "-DEXAMPLES=${EXAMPLES}"
     ${flags})
step("${CMAKE_COMMAND}" --build "${build}" --config "${CONFIG}")
step("${build}/consumer")
step("${build}/with_catch")
step("${build}/with_googletest")
if(EXISTS "${prefix}/bin/mubroker")
  step("${prefix}/bin/mubroker" --help)
  foreach(script bash-completion/completions/mubroker zsh/site-functions/_mubroker fish/vendor_completions.d/mubroker.fish)
    step("${CMAKE_COMMAND}" -E cat "${prefix}/share/${script}")
  endforeach()
endif()
