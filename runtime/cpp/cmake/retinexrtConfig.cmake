# find_package(retinexrt CONFIG [COMPONENTS native embedded headers]) makes
#   retinexrt::headers    the include path: the formats, the manifest of a plan, the value types
#   retinexrt::native     an exported .onnx through OpenVINO, without Python at run time
#   retinexrt::embedded   Python's Enhancer, every artifact and backend, through pybind11
#
# The folder of this file is printed by: python -m runtime --cmake-dir
#
# What they need comes from the Python environment: OpenVINO's wheel carries headers, libraries and a CMake configuration,
# pybind11's wheel headers and one. The Python is Python_EXECUTABLE where that is set, else the active virtual
# environment, else the environment that this file lies in. OpenVINO_DIR and pybind11_DIR choose others than its own.
#
# Without COMPONENTS, what can be made is made, and it is an error if neither implementation can.

cmake_minimum_required(VERSION 3.18)

get_filename_component(_retinexrt_cpp "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)

if(NOT TARGET retinexrt::headers)
  add_library(retinexrt::headers INTERFACE IMPORTED)
  set_target_properties(retinexrt::headers PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_retinexrt_cpp}/include")
  target_compile_features(retinexrt::headers INTERFACE cxx_std_17)
endif()
set(retinexrt_headers_FOUND TRUE)

# The Python whose packages are used.
if(NOT DEFINED Python_EXECUTABLE AND NOT DEFINED ENV{VIRTUAL_ENV})
  # In a wheel this file lies in PREFIX/lib/pythonX.Y/site-packages/runtime/cpp/cmake, in the project in runtime/cpp/cmake.
  foreach(_retinexrt_candidate "../../../../../../bin/python" "../../../.venv/bin/python" "../../../../../Scripts/python.exe")
    get_filename_component(_retinexrt_candidate "${CMAKE_CURRENT_LIST_DIR}/${_retinexrt_candidate}" ABSOLUTE)
    if(EXISTS "${_retinexrt_candidate}" AND NOT DEFINED Python_EXECUTABLE)
      set(Python_EXECUTABLE "${_retinexrt_candidate}")
    endif()
  endforeach()
endif()
find_package(Python 3.11 QUIET COMPONENTS Interpreter OPTIONAL_COMPONENTS Development.Module Development.Embed)

# Ask Python for the CMake folder of a package; empty where it is not installed.
function(_retinexrt_package_folder package below result)
  set(${result} "" PARENT_SCOPE)
  if(NOT Python_EXECUTABLE)
    return()
  endif()
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c
      "import importlib.util as u, pathlib as p, sys; s = u.find_spec(sys.argv[1]); print((p.Path(s.origin).parent / sys.argv[2]).as_posix() if s else '')"
      "${package}" "${below}"
    OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(EXISTS "${folder}")
    set(${result} "${folder}" PARENT_SCOPE)
  endif()
endfunction()

macro(_retinexrt_native)
  if(NOT OpenVINO_DIR)
    _retinexrt_package_folder(openvino cmake _retinexrt_openvino)
    if(_retinexrt_openvino)
      set(OpenVINO_DIR "${_retinexrt_openvino}")
    endif()
  endif()
  find_package(OpenVINO QUIET CONFIG COMPONENTS Runtime)  # its versions of two years count as incompatible
  if(OpenVINO_FOUND)
    if(NOT TARGET retinexrt::native)
      add_library(retinexrt::native INTERFACE IMPORTED)
      set_target_properties(retinexrt::native PROPERTIES INTERFACE_COMPILE_DEFINITIONS RETINEXRT_NATIVE)
      target_link_libraries(retinexrt::native INTERFACE retinexrt::headers openvino::runtime)
    endif()
    set(retinexrt_native_FOUND TRUE)
  else()
    set(retinexrt_native_FOUND FALSE)
    string(APPEND _retinexrt_missing
      " native needs OpenVINO: ${Python_EXECUTABLE} -m pip install openvino, or set OpenVINO_DIR.")
  endif()
endmacro()

macro(_retinexrt_embedded)
  if(NOT pybind11_DIR)
    _retinexrt_package_folder(pybind11 share/cmake/pybind11 _retinexrt_pybind11)
    if(_retinexrt_pybind11)
      set(pybind11_DIR "${_retinexrt_pybind11}")
    endif()
  endif()
  set(_retinexrt_obstacle "")
  if(NOT Python_Development.Embed_FOUND)
    set(_retinexrt_obstacle
      " embedded needs the headers and the shared library of Python ${Python_VERSION} (${Python_EXECUTABLE}): on Debian the package libpython3-dev.")
  else()
    set(PYBIND11_FINDPYTHON ON)
    find_package(pybind11 2.11 QUIET CONFIG)
    if(NOT pybind11_FOUND)
      set(_retinexrt_obstacle
        " embedded needs pybind11: ${Python_EXECUTABLE} -m pip install pybind11, or set pybind11_DIR.")
    endif()
  endif()
  if(_retinexrt_obstacle)
    set(retinexrt_embedded_FOUND FALSE)
    string(APPEND _retinexrt_missing "${_retinexrt_obstacle}")
  else()
    if(NOT TARGET retinexrt::embedded)
      add_library(retinexrt::embedded INTERFACE IMPORTED)
      set_target_properties(retinexrt::embedded PROPERTIES
        INTERFACE_COMPILE_DEFINITIONS "RETINEXRT_EMBEDDED;RETINEXRT_PYTHON=\"${Python_EXECUTABLE}\"")
      target_link_libraries(retinexrt::embedded INTERFACE retinexrt::headers pybind11::embed)
    endif()
    set(retinexrt_embedded_FOUND TRUE)
  endif()
endmacro()

set(_retinexrt_missing "")
set(_retinexrt_wanted ${retinexrt_FIND_COMPONENTS})
if(NOT _retinexrt_wanted)
  set(_retinexrt_wanted native embedded)
endif()
foreach(_retinexrt_component IN LISTS _retinexrt_wanted)
  if(_retinexrt_component STREQUAL "native")
    _retinexrt_native()
  elseif(_retinexrt_component STREQUAL "embedded")
    _retinexrt_embedded()
  elseif(NOT _retinexrt_component STREQUAL "headers")
    set(retinexrt_${_retinexrt_component}_FOUND FALSE)
    string(APPEND _retinexrt_missing " There is no component ${_retinexrt_component}; known: headers, native, embedded.")
  endif()
endforeach()

set(retinexrt_FOUND TRUE)
if(retinexrt_FIND_COMPONENTS)
  foreach(_retinexrt_component IN LISTS retinexrt_FIND_COMPONENTS)
    if(retinexrt_FIND_REQUIRED_${_retinexrt_component} AND NOT retinexrt_${_retinexrt_component}_FOUND)
      set(retinexrt_FOUND FALSE)
    endif()
  endforeach()
elseif(NOT retinexrt_native_FOUND AND NOT retinexrt_embedded_FOUND)
  set(retinexrt_FOUND FALSE)
endif()
if(_retinexrt_missing)
  set(retinexrt_NOT_FOUND_MESSAGE "retinexrt:${_retinexrt_missing}")
  if(NOT retinexrt_FIND_QUIETLY AND retinexrt_FOUND)
    message(STATUS "${retinexrt_NOT_FOUND_MESSAGE}")
  endif()
endif()
