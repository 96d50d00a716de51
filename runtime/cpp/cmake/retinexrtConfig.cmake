# find_package(retinexrt CONFIG [COMPONENTS native native_openvino native_onnxruntime embedded headers]) makes
#   retinexrt::headers               the include path: the formats, the manifest of a plan, the value types
#   retinexrt::native_openvino       an exported .onnx through OpenVINO, without Python at run time
#   retinexrt::native_onnxruntime    the same through ONNX Runtime's C API
#   retinexrt::native                the first of these two that can be made
#   retinexrt::embedded              Python's Enhancer, every artifact and backend, through pybind11
#
# The folder of this file is printed by: python -m runtime --cmake-dir
#
# What they need comes from the Python environment: OpenVINO's wheel carries headers, libraries and a CMake configuration,
# pybind11's wheel headers and one, ONNX Runtime's wheel the library, but no headers. The Python is Python_EXECUTABLE where
# that is set, else the active virtual environment, else the environment that this file lies in. OpenVINO_DIR and
# pybind11_DIR choose others than its own.
#
# ONNX Runtime is the target onnxruntime::onnxruntime if the project has one already, as from find_package(onnxruntime); else
# ONNXRUNTIME_INCLUDE_DIR and ONNXRUNTIME_LIBRARY, both also sought below onnxruntime_ROOT (a variable of CMake or of the
# environment), the library at last in the Python environment.
#
# Without COMPONENTS, what can be made is made, and it is an error if no implementation can.

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

# retinexrt::NAME, with the macros that say so to the headers, on a library.
function(_retinexrt_native_target name macro library)
  if(NOT TARGET retinexrt::${name})
    add_library(retinexrt::${name} INTERFACE IMPORTED)
    set_target_properties(retinexrt::${name} PROPERTIES INTERFACE_COMPILE_DEFINITIONS "RETINEXRT_NATIVE;${macro}")
    target_link_libraries(retinexrt::${name} INTERFACE retinexrt::headers ${library})
  endif()
endfunction()

macro(_retinexrt_native_openvino)
  if(NOT OpenVINO_DIR)
    _retinexrt_package_folder(openvino cmake _retinexrt_openvino)
    if(_retinexrt_openvino)
      set(OpenVINO_DIR "${_retinexrt_openvino}")
    endif()
  endif()
  find_package(OpenVINO QUIET CONFIG COMPONENTS Runtime)  # its versions of two years count as incompatible
  if(OpenVINO_FOUND)
    _retinexrt_native_target(native_openvino RETINEXRT_NATIVE_OPENVINO openvino::runtime)
    set(retinexrt_native_openvino_FOUND TRUE)
  else()
    set(retinexrt_native_openvino_FOUND FALSE)
    set(_retinexrt_native_openvino_obstacle
      " native_openvino needs OpenVINO: ${Python_EXECUTABLE} -m pip install openvino, or set OpenVINO_DIR.")
  endif()
endmacro()

# Set `result` to a target of ONNX Runtime whose headers are there; empty where there is none. The configuration that ONNX
# Runtime's own archives carry is not asked for: it names folders that they don't have, and ends CMake.
function(_retinexrt_find_onnxruntime result)
  set(${result} "" PARENT_SCOPE)
  # A path kept from an earlier run may be gone.
  if(ONNXRUNTIME_INCLUDE_DIR AND NOT EXISTS "${ONNXRUNTIME_INCLUDE_DIR}/onnxruntime_c_api.h")
    unset(ONNXRUNTIME_INCLUDE_DIR CACHE)
  endif()
  if(ONNXRUNTIME_LIBRARY AND NOT EXISTS "${ONNXRUNTIME_LIBRARY}")
    unset(ONNXRUNTIME_LIBRARY CACHE)
  endif()
  set(hints "${onnxruntime_ROOT}" "$ENV{onnxruntime_ROOT}")
  if(TARGET onnxruntime::onnxruntime)
    get_target_property(folders onnxruntime::onnxruntime INTERFACE_INCLUDE_DIRECTORIES)
    if(folders)
      list(APPEND hints ${folders})
    endif()
  endif()
  find_path(ONNXRUNTIME_INCLUDE_DIR onnxruntime_c_api.h HINTS ${hints}
    PATH_SUFFIXES include include/onnxruntime include/onnxruntime/core/session onnxruntime onnxruntime/core/session)
  if(TARGET onnxruntime::onnxruntime)
    set(library onnxruntime::onnxruntime)
  else()
    find_library(ONNXRUNTIME_LIBRARY onnxruntime HINTS ${hints} PATH_SUFFIXES lib lib64)
    set(library "${ONNXRUNTIME_LIBRARY}")
  endif()
  mark_as_advanced(ONNXRUNTIME_INCLUDE_DIR ONNXRUNTIME_LIBRARY)
  if(NOT library)
    _retinexrt_onnxruntime_of_python(library)
  endif()
  if(NOT ONNXRUNTIME_INCLUDE_DIR OR NOT library)
    return()
  endif()
  if(NOT TARGET retinexrt::onnxruntime)
    add_library(retinexrt::onnxruntime INTERFACE IMPORTED)
    set_target_properties(retinexrt::onnxruntime PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${ONNXRUNTIME_INCLUDE_DIR}")
    target_link_libraries(retinexrt::onnxruntime INTERFACE "${library}")
  endif()
  set(${result} retinexrt::onnxruntime PARENT_SCOPE)
endfunction()

# The library in ONNX Runtime's wheel, by links in the build folder: the wheel calls it libonnxruntime.so.1.X.Y, and a program
# that is linked with it looks for libonnxruntime.so.1.
function(_retinexrt_onnxruntime_of_python result)
  set(${result} "" PARENT_SCOPE)
  _retinexrt_package_folder(onnxruntime capi folder)
  file(GLOB found "${folder}/libonnxruntime.so.*")
  if(NOT folder OR NOT found)
    return()
  endif()
  list(GET found 0 found)
  set(links "${CMAKE_BINARY_DIR}/retinexrt")
  file(MAKE_DIRECTORY "${links}")
  foreach(name libonnxruntime.so libonnxruntime.so.1)
    file(CREATE_LINK "${found}" "${links}/${name}" SYMBOLIC)
  endforeach()
  set(${result} "${links}/libonnxruntime.so" PARENT_SCOPE)
endfunction()

macro(_retinexrt_native_onnxruntime)
  _retinexrt_find_onnxruntime(_retinexrt_onnxruntime)
  if(_retinexrt_onnxruntime)
    _retinexrt_native_target(native_onnxruntime RETINEXRT_NATIVE_ONNXRUNTIME ${_retinexrt_onnxruntime})
    set(retinexrt_native_onnxruntime_FOUND TRUE)
  else()
    set(retinexrt_native_onnxruntime_FOUND FALSE)
    set(_retinexrt_native_onnxruntime_obstacle
      " native_onnxruntime needs ONNX Runtime with its headers, which its wheel does not have: set onnxruntime_ROOT, or ONNXRUNTIME_INCLUDE_DIR and ONNXRUNTIME_LIBRARY.")
  endif()
endmacro()

macro(_retinexrt_native)
  set(retinexrt_native_FOUND FALSE)
  foreach(_retinexrt_engine native_openvino native_onnxruntime)
    if(NOT retinexrt_native_FOUND)
      cmake_language(CALL _retinexrt_${_retinexrt_engine})
      if(retinexrt_${_retinexrt_engine}_FOUND)
        set(retinexrt_native_FOUND TRUE)
        if(NOT TARGET retinexrt::native)
          add_library(retinexrt::native INTERFACE IMPORTED)
          target_link_libraries(retinexrt::native INTERFACE retinexrt::${_retinexrt_engine})
        endif()
      endif()
    endif()
  endforeach()
  set(_retinexrt_native_obstacle " native needs one of two."
    "${_retinexrt_native_openvino_obstacle}" "${_retinexrt_native_onnxruntime_obstacle}")
  list(JOIN _retinexrt_native_obstacle "" _retinexrt_native_obstacle)
endmacro()

macro(_retinexrt_embedded)
  if(NOT pybind11_DIR)
    _retinexrt_package_folder(pybind11 share/cmake/pybind11 _retinexrt_pybind11)
    if(_retinexrt_pybind11)
      set(pybind11_DIR "${_retinexrt_pybind11}")
    endif()
  endif()
  set(_retinexrt_embedded_obstacle "")
  if(NOT Python_Development.Embed_FOUND)
    set(_retinexrt_embedded_obstacle
      " embedded needs the headers and the shared library of Python ${Python_VERSION} (${Python_EXECUTABLE}): on Debian the package libpython3-dev.")
  else()
    set(PYBIND11_FINDPYTHON ON)
    find_package(pybind11 2.11 QUIET CONFIG)
    if(NOT pybind11_FOUND)
      set(_retinexrt_embedded_obstacle
        " embedded needs pybind11: ${Python_EXECUTABLE} -m pip install pybind11, or set pybind11_DIR.")
    endif()
  endif()
  if(_retinexrt_embedded_obstacle)
    set(retinexrt_embedded_FOUND FALSE)
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
set(_retinexrt_implementations native_openvino native_onnxruntime embedded)
set(_retinexrt_wanted ${retinexrt_FIND_COMPONENTS})
if(NOT _retinexrt_wanted)
  set(_retinexrt_wanted ${_retinexrt_implementations})
  _retinexrt_native()
endif()
foreach(_retinexrt_component IN LISTS _retinexrt_wanted)
  if(_retinexrt_component STREQUAL "native" OR _retinexrt_component IN_LIST _retinexrt_implementations)
    cmake_language(CALL _retinexrt_${_retinexrt_component})
    if(NOT retinexrt_${_retinexrt_component}_FOUND)
      string(APPEND _retinexrt_missing "${_retinexrt_${_retinexrt_component}_obstacle}")
    endif()
  elseif(NOT _retinexrt_component STREQUAL "headers")
    set(retinexrt_${_retinexrt_component}_FOUND FALSE)
    string(APPEND _retinexrt_missing
      " There is no component ${_retinexrt_component}; known: headers, native, native_openvino, native_onnxruntime, embedded.")
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
