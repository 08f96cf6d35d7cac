# muproc_add_module(name source...)
#
# A code module: a shared object whose entries (MUPROC_ENTRY) a broker can run as muprocs. It is built as libNAME.so, so
# that a config says `module = "libNAME.so"`. Sources that end in .capnp are compiled to messages, included as
# "x.capnp.h". mubroker looks for a bare file name in the config's directory, in each directory of MUPROC_MODULE_PATH,
# and in lib/muproc beside its own bin directory.
#
# MUPROC_MODULE_OUTPUT_DIRECTORY, if set, says where in the build tree modules go.
include_guard(GLOBAL)

function(muproc_add_module name)
  set(schemas ${ARGN})
  list(FILTER schemas INCLUDE REGEX "\\.capnp$")
  set(sources ${ARGN})
  list(FILTER sources EXCLUDE REGEX "\\.capnp$")

  add_library(${name} MODULE ${sources})
  set_target_properties(${name} PROPERTIES PREFIX "lib")
  if(MUPROC_MODULE_OUTPUT_DIRECTORY)
    set_target_properties(${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${MUPROC_MODULE_OUTPUT_DIRECTORY}")
  endif()
  target_link_libraries(${name} PRIVATE muproc::muproc)

  if(schemas)
    set(CAPNPC_OUTPUT_DIR "${CMAKE_CURRENT_BINARY_DIR}/${name}.schemas")
    file(MAKE_DIRECTORY "${CAPNPC_OUTPUT_DIR}")
    foreach(schema IN LISTS schemas)
      cmake_path(ABSOLUTE_PATH schema)
      cmake_path(GET schema PARENT_PATH CAPNPC_SRC_PREFIX)
      capnp_generate_cpp(generated_sources generated_headers "${schema}")
      target_sources(${name} PRIVATE ${generated_sources} ${generated_headers})
    endforeach()
    target_include_directories(${name} SYSTEM PRIVATE "${CAPNPC_OUTPUT_DIR}")
  endif()

  if(COMMAND muproc_target_defaults)
    muproc_target_defaults(${name})
    muproc_installed_rpath(${name} lib/muproc)
    set_property(GLOBAL APPEND PROPERTY MUPROC_MODULES ${name})
  endif()
endfunction()
