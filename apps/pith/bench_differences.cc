// The difference of two checkpoints in factors: of the whole matrix, and of its wavelet's subbands
// with a rank of their own (WaRA: Heidari et al. 2025), of as many numbers.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include "bench.h"
#include "bench_data.h"
#include "bench_report.h"
#include "pith/audit/evaluate_text.h"
#include "pith/base/file.h"
#include "pith/base/float_elements.h"
#include "pith/fit/subband_ranks.h"
#include "pith/form/form.h"
#include "pith/io/layout.h"
#include "pith/model/language_model.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;

struct Way {
  const char* name;
  fit::SubbandOptions options;
};
constexpr Way kWays[] = {{"the whole", {math::Wavelet::kHaar, 0}},
                         {"haar, 1 level", {math::Wavelet::kHaar, 1}},
                         {"haar, 2 levels", {math::Wavelet::kHaar, 2}},
                         {"db4, 1 level", {math::Wavelet::kDaubechies4, 1}}};

// Two checkpoints of one layout.
class Pair {
 public:
  Pair(const fs::path& before, const fs::path& after)
      : path_(after),
        before_(read_file(before)),
        after_(read_file(after)),
        layout_(io::describe(after_, after).layout) {
    if (io::describe(before_, before).layout.tensors != layout_.tensors)
      fail(ErrorKind::kData, "{}: other tensors than in {}", before.string(), after.string());
  }

  struct Kept {
    double error = 0;  // squared, over the squared size of the differences
    Bytes file;        // the later checkpoint with differences as they are kept
  };
  Kept keep(const fit::SubbandOptions& options, double share) const {
    Kept out{0, after_};
    double size = 0;
    for (const io::TensorRegion& t : layout_.tensors) {
      if (t.shape.size() != 2 || t.dtype != DType::kBF16) continue;
      const form::Matrix base = numbers(before_, t);
      form::Matrix difference = numbers(after_, t);
      for (size_t i = 0; i < base.values.size(); ++i) difference.values[i] -= base.values[i];
      const auto room = static_cast<uint64_t>(share * static_cast<double>(base.shape.size()));
      const form::Matrix kept = form::decode(
          *form::encode(fit::subband_ranks(difference.view(), room, options), difference.view()));
      for (size_t i = 0; i < base.values.size(); ++i) {
        const double missed = double{difference.values[i]} - kept.values[i];
        out.error += missed * missed;
        size += double{difference.values[i]} * difference.values[i];
        difference.values[i] = base.values[i] + kept.values[i];
      }
      elements_from(difference.values, t.dtype, false,
                    MutableByteView(out.file).subspan(t.offset, t.size));
    }
    out.error /= size;
    return out;
  }

 private:
  static form::Matrix numbers(const Bytes& file, const io::TensorRegion& t) {
    form::Matrix m({t.shape[0], t.shape[1]});
    floats_from(ByteView(file).subspan(t.offset, t.size), t.dtype, false, m.values.data());
    return m;
  }

  fs::path path_;
  Bytes before_, after_;
  io::Layout layout_;
};

}  // namespace

void bench_differences(const Options& options) {
  Report report("differences", options.json);
  const fs::path before = shared_data() / "lm/checkpoints/step2500.safetensors",
                 after = reference_model(), words = shared_data() / "text/books-valid.txt";
  for (const fs::path& p : {before, words}) {
    if (fs::exists(p)) continue;
    report.note(fmt::format("skipped: no {}; set PITH_DATA to the folder that has it", p.string()));
    return report.finish();
  }
  const Scratch scratch(options);
  const fs::path folder = scratch / "model";
  fs::create_directories(folder);
  for (const char* name : {"config.json", "tokenizer.model"})
    fs::copy_file(after.parent_path() / name, folder / name);
  const model::LanguageModel later = model::load_model(after.parent_path());
  const Bytes raw = read_file(words);
  const std::string text_of(reinterpret_cast<const char*>(raw.data()), raw.size());
  const Pair pair(before, after);
  report.note(
      "step 2500 of the reference model's training and the difference of its matrices to the last "
      "step, in factors of f16 that have so many numbers for each of the difference's; divergence "
      "from the last step on books-valid, 8 windows of 512");
  Table table({"kept of", "numbers", "squared error", "divergence"});
  const std::vector<double> shares =
      options.quick ? std::vector<double>{0.1} : std::vector<double>{0, 0.05, 0.1, 0.25, 0.5};
  for (const double share : shares) {
    for (const Way& way : kWays) {
      report.status(fmt::format("{} of {}", share, way.name));
      const Pair::Kept kept = pair.keep(way.options, share);
      write_file(folder / "model.safetensors", kept.file, true);
      const audit::TextEvaluation e =
          audit::evaluate_text(model::load_model(folder), text_of,
                               {.context = 512, .max_windows = 8, .threads = 1}, {}, &later);
      table.add({text(way.name), number(share, 2), number(kept.error, 4),
                 number(e.evaluation.divergence->kl.mean, 5)});
      if (share == 0) break;
    }
  }
  report.table(table);
  report.finish();
}

}  // namespace pith::bench
