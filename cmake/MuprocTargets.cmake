# What every target of this project has in common. Applied target by target, so that nothing leaks into a user's build.

# muproc_target_defaults(target): warnings, sanitizers, frame pointers (crash stacks are walked by them).
function(muproc_target_defaults target)
  target_compile_features(${target} PRIVATE cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wnon-virtual-dtor -Woverloaded-virtual -Wvla
                                           -Wno-missing-field-initializers -fno-omit-frame-pointer)
  if(MUPROC_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(MUPROC_CCACHE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -fpch-preprocess)
  endif()
  # Executables, libraries and modules carry a build id: functions travel between processes as (build id, offset).
  # Symbols are bound when a program starts or a module is loaded, not in each clone anew: a lookup there touches the symbol
  # tables of all libraries, whose pages a clone has yet to map.
  target_link_options(${target} PRIVATE LINKER:--build-id=sha1 LINKER:--as-needed LINKER:-z,now LINKER:-z,relro)

  if(MUPROC_SANITIZE)
    set(sanitizers ${MUPROC_SANITIZE})
    list(TRANSFORM sanitizers REPLACE "^fuzzer$" "fuzzer-no-link")
    list(JOIN sanitizers "," joined)
    target_compile_options(${target} PRIVATE -fsanitize=${joined} -fno-sanitize-recover=all)
    if("undefined" IN_LIST sanitizers)
      # The check of vptr asks the kernel through a pipe of its own whether it may look at an object. In a process that has
      # no descriptors left, which tests make of the broker, it then calls every object invalid.
      target_compile_options(${target} PRIVATE -fno-sanitize=vptr)
    endif()
    target_link_options(${target} PRIVATE -fsanitize=${joined})
  endif()
endfunction()

# muproc_use_internals(target): the target sees the insides of libmuproc ("sys/fd.hpp") and the generated messages
# ("wire/control.capnp.h"). For the broker, the tools and the tests; the layering test says who may see what.
function(muproc_use_internals target)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/libmuproc")
  target_include_directories(${target} SYSTEM PRIVATE "${MUPROC_GENERATED_DIR}")
endfunction()

# muproc_precompile(target headers...)
function(muproc_precompile target)
  if(MUPROC_PCH)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()

# muproc_installed_rpath(target directory): when installed in `directory` (below the prefix), find libmuproc.so.
function(muproc_installed_rpath target directory)
  file(RELATIVE_PATH up "/prefix/${directory}" "/prefix/${CMAKE_INSTALL_LIBDIR}")
  string(REGEX REPLACE "/$" "" up "${up}")
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/${up}")
endfunction()
