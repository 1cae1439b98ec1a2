// pith compress --rotate, --smooth: a model's weights in coordinates that are better to round in.
#include <memory>
#include <utility>

#include "compress.h"
#include "message.h"
#include "pith/base/file.h"
#include "progress_bar.h"

namespace pith::command {
namespace {

using weights::RotateBy;

RotateBy way_of(const CompressArguments& a) {
  if (a.rotate.empty() || a.rotate == "none") return RotateBy::kNothing;
  if (a.rotate == "values") return RotateBy::kValues;
  if (a.rotate == "hadamard") return RotateBy::kHadamard;
  if (a.rotate == "learned") return RotateBy::kLearned;
  fail(ErrorKind::kUsage, "--rotate: '{}' is not one of none, values, hadamard, learned", a.rotate);
}

bool changes_coordinates(const CompressArguments& a) {
  return way_of(a) != RotateBy::kNothing || a.smooth > 0;
}

// The form that a learned rotation is to suit, if one is named.
std::optional<form::Expression> rounding_of(const CompressArguments& a) {
  const bool one = a.choices.size() == 1 && a.choices[0] != "fast" && a.choices[0] != "gguf";
  if (one) return form::parse(a.choices[0]);
  for (const std::string& text : a.forms) {
    if (auto rule = archive::parse_form_rule(text); rule.expression) return rule.expression;
  }
  return std::nullopt;
}

}  // namespace

std::string calibration_text_of(const CompressArguments& a) {
  if (a.calibration.empty()) return std::string(weights::default_calibration_text());
  const MappedFile file(a.calibration);
  if (archive::Archive::is_archive(file.bytes())) {
    fail(ErrorKind::kUsage,
         "{}: statistics are of the model as it was, which is changed first: name a text",
         a.calibration);
  }
  return {file.bytes().begin(), file.bytes().end()};
}

bool reads_text(const CompressArguments& a) {
  return way_of(a) == RotateBy::kLearned || a.smooth > 0;
}

void check_rotation(const CompressArguments& a, const CompressPlan& plan) {
  if (!changes_coordinates(a)) return;
  const auto refuse = [](std::string_view text) { fail(ErrorKind::kUsage, "{}", text); };
  if (a.forms.empty() && !fits_model(a, plan)) {
    refuse(
        "--rotate and --smooth go with --form, a limit or a recipe for matrices: nothing is "
        "rounded else");
  }
  if (a.inputs.size() != 1 || a.inputs[0] == "-") {
    refuse("--rotate and --smooth are for one model, by its name");
  }
  if (a.rebase || !a.bases.empty()) {
    refuse("--rotate and --smooth do not go with --rebase or --base");
  }
  if (!a.forms_of.empty() && way_of(a) > RotateBy::kValues) {
    refuse("--rotate of the stream does not go with --forms-of, which has no type for a new head");
  }
}

void rotate_inputs(const CompressArguments& a, CompressPlan& plan) {
  if (!changes_coordinates(a)) return;
  weights::RotateOptions options{.by = way_of(a), .smooth = a.smooth, .threads = a.threads};
  if (auto rounding = rounding_of(a)) options.rounding = *rounding;
  if (a.tokens > 0) options.size.tokens = a.tokens;
  std::unique_ptr<ProgressBar> bar;
  options.progress = [&](const char* stage) {
    bar.reset();
    bar = std::make_unique<ProgressBar>(stage, a.quiet, ProgressUnit::kOther);
    return bar->callback();
  };
  const std::string text = reads_text(a) || fits_model(a, plan) ? calibration_text_of(a) : "";
  plan.changed = weights::rotated_model(a.inputs[0], std::move(plan.inputs), text, options);
  plan.inputs = plan.changed->inputs;
}

}  // namespace pith::command
