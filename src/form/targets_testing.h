// Tests that run on every instruction set of the machine.
#pragma once

#include <hwy/targets.h>

#include <functional>

namespace pith::form {

// Each with what is chosen at run time set to it.
inline void for_each_target(const std::function<void(int64_t target)>& test) {
  for (int64_t left = hwy::SupportedTargets(); left != 0; left &= left - 1) {
    hwy::SetSupportedTargetsForTest(left & -left);
    hwy::GetChosenTarget().DeInit();
    test(left & -left);
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().DeInit();
  }
}

// The others round products before they are added.
inline bool has_fused_products(int64_t target) {
  return (target & (HWY_AVX2 | HWY_AVX3 | HWY_AVX3_DL | HWY_NEON)) != 0;
}

}  // namespace pith::form
