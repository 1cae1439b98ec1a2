// What a policy knows of its scores before there are items.
#pragma once

#include <cstdint>

#include "pith/form/expression.h"

namespace pith::select {

inline constexpr int64_t kMostLatest = 1 << 20;

// attention, attention(mean), attention(latest=32).
struct AttentionCall {
  bool mean = false;
  uint64_t latest = 0;  // 0: all
};
AttentionCall attention_call(const form::Expression& e);

// Throws ErrorKind::kUsage with the place for anything that is no score.
void check_score(const form::Expression& e);
bool uses_attention(const form::Expression& e);
bool uses_all_attention(const form::Expression& e);  // not only of the latest queries
bool uses_vectors(const form::Expression& e);
bool uses_queries(const form::Expression& e);
// The largest `latest` in it.
uint64_t latest_of(const form::Expression& e);

}  // namespace pith::select
