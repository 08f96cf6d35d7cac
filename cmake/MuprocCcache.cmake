# Compiles through ccache where there is one, unless the user or an enclosing project has chosen a launcher.
if(NOT PROJECT_IS_TOP_LEVEL OR DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  return()
endif()
find_program(MUPROC_CCACHE ccache)
mark_as_advanced(MUPROC_CCACHE)
if(MUPROC_CCACHE)
  # Precompiled headers need this sloppiness, or every compilation would be a miss.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND};-E;env;CCACHE_SLOPPINESS=pch_defines,time_macros;${MUPROC_CCACHE}")
endif()
