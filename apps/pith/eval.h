// pith eval, in two halves: measuring (eval.cc) and saying what was measured (eval_report.cc).
#pragma once

#include <optional>
#include <string>

#include "output.h"
#include "pith/audit/evaluate_text.h"
#include "pith/audit/harm.h"

namespace pith::command {

struct EvalArguments {
  std::string model, text, against, inputs, kv, kv_budget, kv_profile;
  uint64_t context = 512, stride = 0, skip_first = 0, windows = 0, changed = 10, samples = 8;
  int threads = 0;
  bool bos = false, no_bos = false, json = false, quiet = false;
};

struct Measurements : audit::TextEvaluation {
  std::optional<audit::Harm> harm;  // beside a reference
  double seconds = 0;
};

Json eval_json(const EvalArguments& a, const Measurements& m);
std::string eval_text(const EvalArguments& a, const Measurements& m);

}  // namespace pith::command
