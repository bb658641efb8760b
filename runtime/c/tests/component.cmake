# cmake -D FOLDER=target/component -P runtime/c/tests/component.cmake
#
# Plays ESP-IDF and Zephyr for a copy of the component, in FOLDER: their
# functions are replaced by ones that write down what they were given.
cmake_minimum_required(VERSION 3.16)
get_filename_component(FOLDER "${FOLDER}" ABSOLUTE)
file(REMOVE_RECURSE "${FOLDER}")
file(COPY "${CMAKE_CURRENT_LIST_DIR}/../component/" DESTINATION "${FOLDER}")
# Archives to be found; what is in them does not matter here.
set(OF_ESP "${FOLDER}/src/esp32c3/libbitat.a")
set(OF_ZEPHYR "${FOLDER}/src/libbitat.a")
file(WRITE "${OF_ESP}" "")
file(WRITE "${OF_ZEPHYR}" "")

macro(idf_component_register)
  list(APPEND LOG idf_component_register ${ARGN})
endmacro()
macro(add_prebuilt_library)
  list(APPEND LOG add_prebuilt_library ${ARGN})
endmacro()
macro(target_link_libraries)
  list(APPEND LOG target_link_libraries ${ARGN})
endmacro()
macro(zephyr_include_directories)
  list(APPEND LOG zephyr_include_directories ${ARGN})
endmacro()
macro(zephyr_library_import)
  list(APPEND LOG zephyr_library_import ${ARGN})
endmacro()

# Includes a file of the component, which must make the calls in ARGN.
function(play what file)
  set(LOG)
  include("${FOLDER}/${file}")
  if(NOT "${LOG}" STREQUAL "${ARGN}")
    message(FATAL_ERROR "${what}: ${LOG}\ninstead of ${ARGN}")
  endif()
  message(STATUS "${what}: as meant")
endfunction()

play("Zephyr without CONFIG_BITAT" zephyr/CMakeLists.txt)
set(CONFIG_BITAT y)
set(CONFIG_BITAT_LIBRARY src/libbitat.a)
play("Zephyr" zephyr/CMakeLists.txt
     zephyr_include_directories "${FOLDER}/zephyr/../src"
     zephyr_library_import bitat "${OF_ZEPHYR}")

set(ESP_PLATFORM 1)
set(IDF_TARGET esp32c3)
set(COMPONENT_LIB idf_bitat)
set(CMAKE_BUILD_EARLY_EXPANSION 1)
play("ESP-IDF, first pass" CMakeLists.txt idf_component_register INCLUDE_DIRS src)
set(CMAKE_BUILD_EARLY_EXPANSION)
play("ESP-IDF" CMakeLists.txt
     idf_component_register INCLUDE_DIRS src
     add_prebuilt_library bitat_archive "${OF_ESP}"
     target_link_libraries idf_bitat INTERFACE bitat_archive)
