#include <algorithm>
#include <cmath>

#include "bench_measure.h"
#include "bench_recipes.h"
#include "pith/archive/reader.h"
#include "pith/archive/writer.h"
#include "pith/base/file.h"
#include "pith/io/text.h"
#include "pith/recipe/sized_plan.h"
#include "pith/weights/compress_model.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;

// Whether it takes parts out of a model, whose rest Pith's default makes as small as asked for.
bool is_reducing(const Contestant& c) {
  recipe::Plan plan;
  recipe::apply(*c.recipe, c.given, plan);
  return static_cast<bool>(plan.reduce);
}

Contestant contestant_of(const std::string& text, const std::string& model) {
  if (text == kDefault) return {text};
  const size_t colon = std::min(text.find(':'), text.size());
  Contestant out{text, &recipe::find_recipe(text.substr(0, colon))};
  for (size_t at = colon; at < text.size();) {
    const size_t end = std::min(text.find(':', at + 1), text.size());
    recipe::add_value(out.given, text.substr(at + 1, end - at - 1));
    at = end;
  }
  if (out.recipe->sizes.empty()) {
    out.refusal = fmt::format("recipe {} has no option that sets a size", out.recipe->name);
    return out;
  }
  // Refused now, not after hours.
  if (!is_reducing(out)) recipe::at_sizes(*out.recipe, out.given);
  try {
    recipe::require_model(out.recipe, model);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kUsage) throw;
    out.refusal = e.what();
  }
  return out;
}

}  // namespace

std::vector<Contestant> contestants(const std::vector<std::string>& recipes,
                                    const std::string& model) {
  std::vector<Contestant> out = {contestant_of(kDefault, model)};
  for (const std::string& text : recipes) {
    if (text != kDefault) out.push_back(contestant_of(text, model));
  }
  if (recipes.empty()) {
    for (const std::string_view name : recipe::sized_recipes()) {
      out.push_back(contestant_of(std::string(name), model));
    }
  }
  for (size_t i = 0; i < out.size(); ++i) {
    const auto rest = std::span(out).subspan(i + 1);
    if (std::ranges::find(rest, out[i].text, &Contestant::text) != rest.end()) {
      fail(ErrorKind::kUsage, "--recipes: {} comes twice", out[i].text);
    }
  }
  return out;
}

// The model without what one of the recipe's shares takes out.
struct ArchiveMaker::Reduced {
  recipe::Setting setting;
  std::unique_ptr<weights::ReducedModel> model;  // where the compressor looks
  std::unique_ptr<weights::ModelCompressor> compressor;
};

struct ArchiveMaker::Current {
  Contestant contestant;
  Stage stage;
  std::optional<recipe::SizedPlan> sized;  // of a recipe
  std::unique_ptr<weights::ModelCompressor> compressor;
  std::vector<Reduced> reduced;  // in its place
};

ArchiveMaker::ArchiveMaker(const RecipesOptions& o, const fs::path& folder, uint64_t weights,
                           const std::vector<Contestant>& all)
    : model_path_(o.model),
      folder_(folder),
      tokens_(o.tokens),
      weights_(weights),
      threads_(o.threads),
      model_(model::load_model(o.model)),
      text_(weights::default_calibration_text()) {
  for (const Contestant& c : all) {
    if (!c.recipe || !c.refusal.empty() || is_reducing(c)) continue;
    needs_moments_ |= recipe::at_sizes(*c.recipe, c.given).plan.curvature.output_moments;
  }
  model_hash_ = weights::weights_hash(model_);
  weights::KeyMaker key;
  key.add(PITH_VERSION).add(model_hash_).add(tokens_);
  if (!o.calibration.empty()) {
    const MappedFile file(o.calibration);
    key.add(hash128(file.bytes()));
    if (archive::Archive::is_archive(file.bytes())) {
      statistics_ = weights::read_statistics(o.calibration);
      weights::require_model(*statistics_, model_, o.calibration);
    } else {
      text_ = io::as_text(file.bytes());
    }
  }
  key.add(text_);
  calibration_hash_ = key.key();
  if (statistics_) return;
  kept_statistics_ = folder_ / fmt::format("statistics-{}{}.pith", calibration_hash_.hex(),
                                           needs_moments_ ? "-moments" : "");
  try {
    if (fs::exists(kept_statistics_)) statistics_ = weights::read_statistics(kept_statistics_);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kData) throw;  // a damaged one is made again
  }
}

ArchiveMaker::~ArchiveMaker() = default;

weights::CompressModelOptions ArchiveMaker::options_of(const recipe::Plan& plan,
                                                       const std::string& key) const {
  weights::CompressModelOptions options = recipe::model_options(plan);
  if (tokens_ > 0) options.size.tokens = tokens_;
  options.threads = threads_;
  options.journal = folder_ / "journal";
  options.journal_key = key;
  options.progress = [stage = current_->stage](const char* name) { return stage(name); };
  return options;
}

std::unique_ptr<weights::ModelCompressor> ArchiveMaker::compressor(const recipe::Plan& plan,
                                                                   const std::string& key) {
  weights::CompressModelOptions options = options_of(plan, key);
  if (options.calibrated) {
    options.statistics = statistics_;
    options.curvature.output_moments |= needs_moments_ && !statistics_;
  }
  return std::make_unique<weights::ModelCompressor>(
      model_, archive::expand_inputs(std::span(&model_path_, 1)), text_, std::move(options));
}

void ArchiveMaker::begin(const Contestant& contestant, const Stage& stage) {
  current_ = std::make_unique<Current>(Current{contestant, stage, {}, {}, {}});
  Current& c = *current_;
  if (contestant.recipe && is_reducing(contestant)) return reduce();
  if (contestant.recipe) c.sized = recipe::at_sizes(*contestant.recipe, contestant.given);
  c.compressor = compressor(c.sized ? c.sized->plan : recipe::Plan(), contestant.text);
  const auto& made = c.compressor->statistics();
  if (statistics_ || !made) return;
  statistics_ = made;
  weights::write_statistics(*made, kept_statistics_, true);
}

void ArchiveMaker::reduce() {
  Current& c = *current_;
  for (recipe::Setting& setting : recipe::settings_of(*c.contestant.recipe, c.contestant.given)) {
    recipe::Plan plan;
    recipe::apply(*c.contestant.recipe, setting.values, plan);
    weights::ReduceOptions how{.size = {}, .threads = threads_, .progress = c.stage};
    if (tokens_ > 0) how.size.tokens = tokens_;
    auto model = std::make_unique<weights::ReducedModel>(weights::reduced_model(
        model_path_, archive::expand_inputs(std::span(&model_path_, 1)), text_, plan.reduce, how));
    weights::CompressModelOptions options =
        options_of({}, fmt::format("{} {}", c.contestant.text, setting.text));
    options.input_size = {model->changed.weights, model->changed.bytes};
    auto compressor = std::make_unique<weights::ModelCompressor>(
        model->changed.model, model->changed.inputs, text_, std::move(options));
    c.reduced.push_back({std::move(setting), std::move(model), std::move(compressor)});
  }
}

// Of the shares the one that is expected to lose least: what is missing, and codes of the rest.
ArchiveMaker::Reduced* ArchiveMaker::best_reduced(const weights::Limits& limits) {
  Reduced* best = nullptr;
  double least = 0;
  std::optional<Error> refusal;
  for (Reduced& r : current_->reduced) {
    try {
      double loss = r.compressor->plan(limits).divergence;
      if (r.model->measured) loss += r.model->measured->divergence;
      if (best && loss >= least) continue;
      best = &r;
      least = loss;
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::kLimit) throw;
      refusal = e;
    }
  }
  if (!best) throw *refusal;
  return best;
}

// Returns the bytes that were expected of it, at most `allowed`, or less than nothing where there
// is no other choice.
double ArchiveMaker::make_one(uint64_t allowed, const fs::path& file, MadeArchive& out) {
  Current& c = *current_;
  weights::ModelCompressor* maker = c.compressor.get();
  std::unique_ptr<weights::ModelCompressor> of_setting;
  weights::Limits limits = {.bytes = allowed};
  double expected = static_cast<double>(allowed);
  if (c.sized && c.sized->one_form) {
    // What makes the archive is the recipe as anybody calls it.
    expected = c.sized->settings > 1 ? maker->plan(limits).bytes : -1;
    const recipe::Setting& setting = *c.sized->setting;
    recipe::Plan plan;
    recipe::apply(*c.contestant.recipe, setting.values, plan);
    of_setting = compressor(plan, fmt::format("{} {}", c.contestant.text, setting.text));
    maker = of_setting.get();
    limits = {};
    out.by_limit = false;
  }
  if (!c.reduced.empty()) {
    Reduced& best = *best_reduced(limits);
    maker = best.compressor.get();
    out.setting = best.setting.text;
    out.values = best.setting.values;
  }
  archive::WriteOptions write{.overwrite = true};
  const weights::CompressedModel compressed = maker->compress(limits);
  maker->store(compressed, write);
  archive::write_archive(maker->inputs(compressed), file, write);
  if (c.sized) {
    out.setting = c.sized->setting->text;
    out.values = c.sized->setting->values;
  }
  out.bytes = fs::file_size(file);
  return expected;
}

MadeArchive ArchiveMaker::make(double bits, const fs::path& file) {
  const auto limit = static_cast<uint64_t>(bits * static_cast<double>(weights_) / 8);
  const double begin = now();
  MadeArchive out;
  constexpr int kTries = 6;
  double allowed = static_cast<double>(limit);
  // What matrices will take is known of some rows of them only.
  for (int i = 0; i < kTries && allowed >= 1; ++i) {
    const double expected = make_one(static_cast<uint64_t>(allowed), file, out);
    out.seconds = now() - begin;
    if (out.bytes <= limit) return out;
    fs::remove(file);
    // Less, and another setting than this.
    allowed = std::min(allowed - static_cast<double>(out.bytes - limit), expected - 1);
  }
  fail(ErrorKind::kLimit, "{} bytes are asked for, and its archive has {} ({:.3f} bits a weight)",
       limit, out.bytes, 8 * static_cast<double>(out.bytes) / static_cast<double>(weights_));
}

void ArchiveMaker::end() {
  if (current_ && current_->compressor) current_->compressor->journal().remove();
  if (current_ && !current_->reduced.empty()) current_->reduced[0].compressor->journal().remove();
  current_.reset();
}

}  // namespace pith::bench
