# mubench, and what it is made of.

set(CAPNPC_OUTPUT_DIR "${CMAKE_CURRENT_BINARY_DIR}/bench.schemas")
set(CAPNPC_SRC_PREFIX "${CMAKE_CURRENT_SOURCE_DIR}")
file(MAKE_DIRECTORY "${CAPNPC_OUTPUT_DIR}/bench")
capnp_generate_cpp(bench_messages bench_message_headers bench/bench.capnp bench/report.capnp)
set_source_files_properties(${bench_messages} PROPERTIES COMPILE_OPTIONS -w)

# What needs no muprocs: laps, histograms, reports, plots. The peers' clients and the tests have it too.
add_library(bench_parts STATIC bench/histogram.cpp bench/measure.cpp bench/pair.cpp bench/plot.cpp bench/report.cpp bench/report_json.cpp
                               ${bench_messages} ${bench_message_headers})
muproc_target_defaults(bench_parts)
target_include_directories(bench_parts PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}")
target_include_directories(bench_parts SYSTEM PUBLIC "${CAPNPC_OUTPUT_DIR}")
target_link_libraries(bench_parts PUBLIC CapnProto::capnp-json CapnProto::capnp)

add_executable(mubench bench/bare_ring.cpp bench/births.cpp bench/calls.cpp bench/clones.cpp bench/floor.cpp bench/growth.cpp bench/large.cpp bench/live.cpp bench/memory.cpp bench/mubench.cpp
                       bench/peers.cpp bench/restart.cpp bench/restart_rate.cpp bench/rtt.cpp bench/sleepers.cpp bench/streams.cpp
                       bench/trees.cpp)
muproc_test_target(mubench)
target_link_libraries(mubench PRIVATE bench_parts CLI11::CLI11)

add_executable(mubench_victim bench/victim/victim.cpp)
muproc_target_defaults(mubench_victim)
target_link_libraries(mubench_victim PRIVATE muproc::muproc)
add_dependencies(mubench mubench_victim)
target_link_libraries(unit_tests PRIVATE bench_parts)  # which test these parts

option(MUPROC_BENCH_PEERS "Build clients of other means of communication, to compare with" OFF)
if(MUPROC_BENCH_PEERS)
  include(bench/peers/peers.cmake)
endif()

# How many instructions a message takes (instructions/check.sh). The library is compiled once more for that, in the same way
# under every preset; sanitizers would count themselves.
find_program(VALGRIND valgrind)
find_path(VALGRIND_INCLUDE valgrind/callgrind.h)
if(VALGRIND AND VALGRIND_INCLUDE AND NOT MUPROC_SANITIZE)
  get_target_property(sources muproc SOURCES)
  list(FILTER sources INCLUDE REGEX "\\.(cpp|c\\+\\+)$")
  list(TRANSFORM sources REPLACE "^([^/].*)" "${PROJECT_SOURCE_DIR}/libmuproc/\\1")
  set_source_files_properties("${PROJECT_SOURCE_DIR}/libmuproc/runtime/throw_notes.cpp" PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
  list(FILTER bench_messages INCLUDE REGEX "/bench\\.capnp\\.c\\+\\+$")

  add_executable(mubench_instructions bench/instructions/count.cpp ${bench_messages} ${sources})
  muproc_target_defaults(mubench_instructions)
  muproc_use_internals(mubench_instructions)
  set_target_properties(mubench_instructions PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF INTERPROCEDURAL_OPTIMIZATION_RELEASE OFF)
  target_compile_options(mubench_instructions PRIVATE -O2 -g1 -DNDEBUG)
  target_include_directories(mubench_instructions PRIVATE "${PROJECT_SOURCE_DIR}/include" "${CMAKE_CURRENT_SOURCE_DIR}")
  target_include_directories(mubench_instructions SYSTEM PRIVATE "${CMAKE_CURRENT_BINARY_DIR}/bench.schemas" "${VALGRIND_INCLUDE}")
  target_link_libraries(mubench_instructions PRIVATE CapnProto::capnp CapnProto::kj spdlog::spdlog Threads::Threads Boost::headers
                                                     PkgConfig::LIBSECCOMP ${CMAKE_DL_LIBS})
  muproc_precompile(mubench_instructions <capnp/message.h> <capnp/serialize.h> <spdlog/spdlog.h>
                                         <chrono> <functional> <map> <memory> <optional> <span> <string> <unordered_map> <variant> <vector>)
  add_dependencies(mubench_instructions muproc bench_parts mubench)

  add_test(NAME "guard:a message takes no more instructions than were recorded"
           COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/bench/instructions/check.sh" "${CMAKE_CURRENT_SOURCE_DIR}/bench/instructions.txt" "$<TARGET_FILE_DIR:mubench>")
  set_tests_properties("guard:a message takes no more instructions than were recorded" PROPERTIES TIMEOUT 300 LABELS guard)
endif()
