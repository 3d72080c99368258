# Targets format, format-check and lint, over every C++ file that git knows or would know.
find_program(CLANG_FORMAT NAMES clang-format-14 clang-format)
find_program(RUN_CLANG_TIDY NAMES run-clang-tidy-14 run-clang-tidy)

set(list_sources "git ls-files --cached --others --exclude-standard -z -- '*.cpp' '*.h'")
if(CLANG_FORMAT)
  add_custom_target(format-check
    COMMAND sh -c "${list_sources} | xargs -0 ${CLANG_FORMAT} --dry-run --Werror"
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM COMMENT "Comparing the sources with .clang-format")
  add_custom_target(format
    COMMAND sh -c "${list_sources} | xargs -0 ${CLANG_FORMAT} -i"
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM COMMENT "Formatting the sources")
endif()
if(RUN_CLANG_TIDY)
  # -quiet still prints one line per file; the exit code tells.
  add_custom_target(lint
    COMMAND ${RUN_CLANG_TIDY} -quiet -p ${CMAKE_BINARY_DIR} "^${CMAKE_SOURCE_DIR}/(ckpt|runtime|launcher)/.*\\.cpp$"
    WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} VERBATIM COMMENT "Linting with clang-tidy")
endif()
