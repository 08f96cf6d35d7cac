# Installing: libraries, headers, executables, and a CMake package `muproc` with the targets muproc::muproc and
# muproc::broker and the function muproc_add_module. tests/consumer builds against the result.
include(CMakePackageConfigHelpers)

set(MUPROC_INSTALL_CMAKEDIR "${CMAKE_INSTALL_LIBDIR}/cmake/muproc")

install(TARGETS muproc EXPORT muprocTargets
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
if(TARGET muproc_broker)
  install(TARGETS muproc_broker EXPORT muprocTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
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
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
