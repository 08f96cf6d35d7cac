# Runs docs_blocks.awk; see page_blocks in docs.cmake.
execute_process(COMMAND "${AWK}" -f "${SCRIPT}" -v "page=${NAME}" -v "part=${PART}" -v "parts=${PARTS}" "${PAGE}"
                OUTPUT_FILE "${OUTPUT}" RESULT_VARIABLE result)
if(result)
  file(REMOVE "${OUTPUT}")
  message(FATAL_ERROR "${PAGE}: its blocks cannot be taken out")
endif()
