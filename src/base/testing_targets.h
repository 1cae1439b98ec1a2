// Tests of SIMD code: the same on every instruction set of this machine.
#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

namespace pith {

// Calls test() once for each instruction set, with the kernels that are dispatched at run time set
// to it.
template <class Test>
void for_each_target(const Test& test) {
  for (int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
    SCOPED_TRACE(hwy::TargetName(left & -left));
    hwy::SetSupportedTargetsForTest(left & -left);
    hwy::GetChosenTarget().DeInit();
    test();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

}  // namespace pith
