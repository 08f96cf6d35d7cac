# The peers' clients, each where what it needs is installed (tools/bench.sh sees to that): bin/peers/peer_NAME.

set(peers_dir "${PROJECT_BINARY_DIR}/bin/peers")

function(muproc_add_peer name)
  add_executable(peer_${name} EXCLUDE_FROM_ALL bench/peers/${name}.cpp)
  muproc_target_defaults(peer_${name})
  target_link_libraries(peer_${name} PRIVATE bench_parts ${ARGN})
  set_target_properties(peer_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${peers_dir}")
  add_dependencies(peers peer_${name})
endfunction()

add_custom_target(peers)
muproc_add_peer(pipe)
muproc_add_peer(socket)
muproc_add_peer(message_queue Boost::headers Threads::Threads)

pkg_check_modules(ZEROMQ IMPORTED_TARGET libzmq)
if(ZEROMQ_FOUND)
  muproc_add_peer(zeromq PkgConfig::ZEROMQ)
endif()

find_package(iceoryx_posh 2.0 QUIET)
if(iceoryx_posh_FOUND)
  muproc_add_peer(iceoryx iceoryx_posh::iceoryx_posh)
  # Its headers are not made for our warnings.
  target_include_directories(peer_iceoryx SYSTEM PRIVATE $<TARGET_PROPERTY:iceoryx_posh::iceoryx_posh,INTERFACE_INCLUDE_DIRECTORIES>)
endif()

find_program(ERLC erlc)
find_program(ERL erl)
if(ERLC AND ERL)
  configure_file(bench/peers/peer_erlang.sh.in "${peers_dir}/peer_erlang" @ONLY
                 FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  set(beam "${CMAKE_CURRENT_BINARY_DIR}/peer_erlang.beam")
  add_custom_command(OUTPUT "${beam}" DEPENDS bench/peers/peer_erlang.erl
                     COMMAND "${ERLC}" -Werror -o "${CMAKE_CURRENT_BINARY_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}/bench/peers/peer_erlang.erl")
  add_custom_target(peer_erlang DEPENDS "${beam}")
  add_dependencies(peers peer_erlang)
endif()
