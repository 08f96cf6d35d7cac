# Installing: libraries, headers, executables, and a CMake package `muproc` with the targets muproc::muproc,
# muproc::rpc, muproc::broker and muproc::testing and the function muproc_add_module. tests/consumer builds against the result.
include(CMakePackageConfigHelpers)

set(MUPROC_INSTALL_CMAKEDIR "${CMAKE_INSTALL_LIBDIR}/cmake/muproc")

install(TARGETS muproc muproc_rpc EXPORT muprocTargets
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
if(TARGET muproc_broker)
  install(TARGETS muproc_broker EXPORT muprocTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endif()
if(TARGET muproc_testing)
  install(TARGETS muproc_testing EXPORT muprocTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endif()
foreach(program mubroker muctl mutop)
  if(TARGET ${program})
    muproc_installed_rpath(${program} "${CMAKE_INSTALL_BINDIR}")
    install(TARGETS ${program} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  endif()
endforeach()
get_property(example_modules GLOBAL PROPERTY MUPROC_EXAMPLE_MODULES)
if(example_modules)
  install(TARGETS ${example_modules} LIBRARY DESTINATION lib/muproc)
endif()

install(EXPORT muprocTargets NAMESPACE muproc:: DESTINATION "${MUPROC_INSTALL_CMAKEDIR}")
configure_package_config_file(cmake/muprocConfig.cmake.in "${PROJECT_BINARY_DIR}/muprocConfig.cmake"
                              INSTALL_DESTINATION "${MUPROC_INSTALL_CMAKEDIR}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/muprocConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/muprocConfig.cmake" "${PROJECT_BINARY_DIR}/muprocConfigVersion.cmake"
              cmake/MuprocAddModule.cmake
        DESTINATION "${MUPROC_INSTALL_CMAKEDIR}")
# systemd looks for units in /usr/lib and /usr/local/lib.
configure_file(share/muproc/muproc@.service.in "${PROJECT_BINARY_DIR}/muproc@.service" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/muproc@.service" DESTINATION lib/systemd/system)
# Completion, as the programs themselves describe their words; each shell has its place and its way to call the file.
set(completions)
foreach(program mubroker muctl)
  if(TARGET ${program})
    foreach(shell bash zsh fish)
      set(script "${PROJECT_BINARY_DIR}/completions/${program}.${shell}")
      add_custom_command(OUTPUT "${script}"
        COMMAND "${CMAKE_COMMAND}" -E make_directory "${PROJECT_BINARY_DIR}/completions"
        COMMAND ${program} completion ${shell} > "${script}" DEPENDS ${program} VERBATIM)
      list(APPEND completions "${script}")
    endforeach()
    install(FILES "${PROJECT_BINARY_DIR}/completions/${program}.bash" RENAME ${program}
            DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions")
    install(FILES "${PROJECT_BINARY_DIR}/completions/${program}.zsh" RENAME _${program}
            DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions")
    install(FILES "${PROJECT_BINARY_DIR}/completions/${program}.fish"
            DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
  endif()
endforeach()
if(completions)
  add_custom_target(completions ALL DEPENDS ${completions})
endif()
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
