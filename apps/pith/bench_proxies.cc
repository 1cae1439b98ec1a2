// What cheap proxies say that a form costs a model, beside what the model then really loses.
#include <fmt/ranges.h>

#include "bench.h"
#include "bench_data.h"
#include "bench_report.h"
#include "pith/fit/expression_fitter.h"
#include "pith/weights/compress_model.h"

namespace pith::bench {
namespace {

// Of several kinds, so that a proxy must tell more than their bits.
constexpr const char* kForms[] = {"uniform(2, group=32)", "uniform(3, group=64)",
                                  "ggml(q3_K)",           "uniform(4, group=64)",
                                  "sparse(40%)",          "uniform(6, group=64)"};

void add_section(Report& report, const char* title, const budget::ProxyRecord& record) {
  report.section(title);
  Table table({"proxy", "pairs", "Spearman", "Kendall", "measured / predicted"});
  const auto qualities = record.qualities();
  for (const budget::ProxyQuality& q : qualities) {
    // A slope has a meaning for predictions in nats only.
    const bool nats = q.proxy == weights::name(weights::Proxy::kDivergence) ||
                      q.proxy == weights::name(weights::Proxy::kTrace);
    table.add({text(q.proxy), count(q.pairs), number(q.spearman, 3), number(q.kendall, 3),
               nats ? number(q.slope, 2) : none()});
  }
  report.table(table);
}

}  // namespace

void bench_proxies(const Options& options) {
  Report report("proxies", options.json);
  const std::filesystem::path folder = reference_model().parent_path();
  const model::LanguageModel model = model::load_model(folder);
  const uint64_t windows = options.quick ? 1 : 4;
  const size_t choices = options.quick ? 20 : 100;
  weights::ProxyRecords records;
  weights::CompressModelOptions o;
  o.size = {.tokens = 8192, .window = 256};
  for (const char* form : kForms) {
    o.candidates.push_back({form, fit::expression_fitter(form::parse(form))});
  }
  o.allocation.keep = true;
  o.allocation.choose = [&](const weights::Choosing& c) {
    records = weights::record_proxies(c, windows, choices);
    return std::vector<size_t>(c.problem.parts.size(), 0);
  };
  o.progress = [&](const char* stage) -> Progress {
    return [&report, stage](uint64_t done, uint64_t total) {
      report.status(fmt::format("{}: {} of {}", stage, done, total));
      return true;
    };
  };
  const weights::ModelCompressor compressor(model, archive::expand_inputs(std::span(&folder, 1)),
                                            weights::default_calibration_text(), std::move(o));
  compressor.plan({.ratio = 1e-3});
  report.note(
      fmt::format("the reference model, every matrix in {}; {} tokens of the shipped text "
                  "calibrate, {} of them "
                  "measure the divergence from the model as it was",
                  fmt::join(kForms, ", "), 8192, windows * 256));
  report.note(
      "Spearman and Kendall: rank correlations of predicted and measured; the last column is the "
      "slope of the line through nothing, for predictions in nats");
  add_section(report, "One matrix in one form, the others as they were", records.of_matrices);
  add_section(report, "Every matrix in a form drawn at random", records.of_choices);
  report.finish();
}

}  // namespace pith::bench
