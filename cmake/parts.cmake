# The parts of libpith in the order in which they may include each other: a part sees only those
# before it. tools/check_layering.py reads this list and fails the build on an include against it.
set(PITH_PARTS base math entropy io form fit budget lossless archive select kv model network audit weights recipe)

set(pith_base_libs fmt::fmt TBB::tbb Threads::Threads PkgConfig::XXHASH)
find_package(Eigen3 REQUIRED NO_MODULE)
set(pith_math_libs Eigen3::Eigen PkgConfig::HWY)
# Searches whose sums decide codes: the same on every instruction set, so nothing is fused.
set_source_files_properties(src/math/nearest.cc src/form/trellis_step.cc src/form/path_search.cc src/form/e8_search.cc PROPERTIES COMPILE_OPTIONS -ffp-contract=off)
# Eigen would cut sums where the machine's caches end: the same everywhere, so it is not to ask.
set_source_files_properties(src/math/svd.cc src/math/eigen.cc src/form/factor.cc src/form/product_fit.cc
  PROPERTIES COMPILE_DEFINITIONS EIGEN_NO_CPUID)
set(pith_entropy_libs PkgConfig::HWY)
set(pith_io_libs nlohmann_json::nlohmann_json ZLIB::ZLIB)
set(pith_form_libs PkgConfig::HWY)
set(pith_fit_libs Eigen3::Eigen PkgConfig::HWY)
set(pith_budget_libs PkgConfig::CBC)
set(pith_budget_test_libs nlohmann_json::nlohmann_json)
set(pith_lossless_libs PkgConfig::ZSTD PkgConfig::HWY)
set(pith_archive_libs PkgConfig::ZSTD)
set(pith_kv_libs PkgConfig::HIREDIS)
# The text that the library holds.
set_source_files_properties(src/weights/default_text.cc PROPERTIES
  COMPILE_DEFINITIONS PITH_CALIBRATION_TEXT="${CMAKE_SOURCE_DIR}/data/text/calibration.txt"
  OBJECT_DEPENDS ${CMAKE_SOURCE_DIR}/data/text/calibration.txt)
set(pith_recipe_test_libs lzma)  # LZMA to compare with

# What is the same for all tests.
function(set_up_test target)
  target_link_libraries(${target} PRIVATE fmt::fmt GTest::gtest_main rapidcheck PkgConfig::HWY)
  # What some of the libraries define as well: a precompiled header is for one set of definitions.
  target_compile_definitions(${target} PRIVATE HWY_WANT_AVX3_DL=1 _FILE_OFFSET_BITS=64)
  # The tests' own code is a third of what is compiled, and little of what runs.
  if(PITH_SANITIZE)
    target_compile_options(${target} PRIVATE -O0)
  elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(${target} PRIVATE -O1)
  endif()
endfunction()

if(PITH_TESTS)
  enable_testing()
  find_package(GTest REQUIRED)
  find_package(rapidcheck REQUIRED)
  include(GoogleTest)
  # The headers that tests have in common, compiled once for all of them.
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/test_headers.cc CONTENT "int main() {}\n")
  add_executable(pith_test_headers ${CMAKE_BINARY_DIR}/test_headers.cc)
  target_precompile_headers(pith_test_headers PRIVATE <gtest/gtest.h> <fmt/format.h> <algorithm> <array> <cmath>
    <filesystem> <functional> <map> <memory> <numeric> <optional> <random> <span> <string> <vector>)
  set_up_test(pith_test_headers)
endif()
if(PITH_BENCH)
  find_package(benchmark REQUIRED)
endif()

set(before "")
set(testing "")
foreach(part IN LISTS PITH_PARTS)
  file(GLOB sources CONFIGURE_DEPENDS src/${part}/*.cc)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  set(benches ${sources})
  list(FILTER benches INCLUDE REGEX "_bench\\.cc$")
  set(helpers ${sources})  # of the tests of this part and the later ones
  list(FILTER helpers INCLUDE REGEX "/testing_[a-z_]*\\.cc$")
  list(FILTER sources EXCLUDE REGEX "(_(test|bench)|/testing_[a-z_]*)\\.cc$")
  add_library(pith_${part} STATIC ${sources})
  set_target_properties(pith_${part} PROPERTIES LINKER_LANGUAGE CXX)
  target_include_directories(pith_${part} PUBLIC include PRIVATE ${CMAKE_SOURCE_DIR})  # foreach_target.h includes sources by path from the root
  target_link_libraries(pith_${part} PUBLIC ${before} ${pith_${part}_libs})
  # Highway's AVX-512 "Ice Lake" target is opt-in; our byte-permute kernels need it.
  target_compile_definitions(pith_${part} PRIVATE HWY_WANT_AVX3_DL=1)
  if(PITH_SANITIZE MATCHES address)
    # Every vector is a structure in a scope of its own there: to watch those takes minutes to compile.
    foreach(source IN LISTS sources)
      file(STRINGS ${source} vectors REGEX "foreach_target" LIMIT_COUNT 1)
      if(vectors)
        set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS -fno-sanitize-address-use-after-scope)
      endif()
    endforeach()
  endif()
  if(PITH_TESTS AND helpers)
    add_library(pith_${part}_testing STATIC ${helpers})
    target_link_libraries(pith_${part}_testing PRIVATE pith_${part} GTest::gtest)
    list(APPEND testing pith_${part}_testing)
  endif()
  if(PITH_TESTS AND tests)
    add_executable(${part}_test ${tests})
    target_link_libraries(${part}_test PRIVATE ${testing} pith_${part} ${pith_${part}_test_libs})
    set_up_test(${part}_test)
    target_precompile_headers(${part}_test REUSE_FROM pith_test_headers)
    # What methods lose on the reference model is no question for sanitizers, which take ten times
    # as long: they run the same code on a smaller one.
    set(filter "")
    if(PITH_SANITIZE)
      set(filter TEST_FILTER "-*Quality.*")
    endif()
    # Random cases are the same ones every time; RC_PARAMS=seed=N by hand finds others.
    gtest_discover_tests(${part}_test ${filter} DISCOVERY_TIMEOUT 60
      PROPERTIES TIMEOUT 600 LABELS ${part} ENVIRONMENT RC_PARAMS=seed=1)
  endif()
  if(PITH_BENCH AND benches)
    add_executable(${part}_bench ${benches})
    target_link_libraries(${part}_bench PRIVATE pith_${part} benchmark::benchmark_main PkgConfig::HWY)
  endif()
  list(PREPEND before pith_${part})
endforeach()

add_library(pith INTERFACE)
target_link_libraries(pith INTERFACE ${before})

find_package(Python3 COMPONENTS Interpreter REQUIRED)
add_custom_target(layering ALL
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/check_layering.py ${CMAKE_SOURCE_DIR}
  COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/check_recipe_names.py ${CMAKE_SOURCE_DIR}
  COMMENT "checking that parts include only the parts before them, and name no published method" VERBATIM)
