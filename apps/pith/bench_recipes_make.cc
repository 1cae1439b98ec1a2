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

Contestant contestant_of(const std::string& text) {
  if (text == kDefault) return {text};
  const size_t colon = std::min(text.find(':'), text.size());
  Contestant out{text, &recipe::find_recipe(text.substr(0, colon))};
  for (size_t at = colon; at < text.size();) {
    const size_t end = std::min(text.find(':', at + 1), text.size());
    recipe::add_value(out.given, text.substr(at + 1, end - at - 1));
    at = end;
  }
  recipe::at_sizes(*out.recipe, out.given);  // refused now, not after hours
  return out;
}

}  // namespace

std::vector<Contestant> contestants(const std::vector<std::string>& recipes) {
  std::vector<Contestant> out = {contestant_of(kDefault)};
  for (const std::string& text : recipes) {
    if (text != kDefault) out.push_back(contestant_of(text));
  }
  if (recipes.empty()) {
    for (const std::string_view name : recipe::sized_recipes()) {
      out.push_back(contestant_of(std::string(name)));
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

struct ArchiveMaker::Current {
  std::unique_ptr<weights::ModelCompressor> compressor;
  std::shared_ptr<std::string> setting;  // null: none
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
    if (!c.recipe) continue;
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

void ArchiveMaker::begin(const Contestant& contestant, const Stage& stage) {
  current_ = std::make_unique<Current>();
  weights::CompressModelOptions options;
  if (contestant.recipe) {
    recipe::SizedPlan sized = recipe::at_sizes(*contestant.recipe, contestant.given);
    options = recipe::model_options(sized.plan);
    current_->setting = sized.setting;
  }
  if (options.calibrated) {
    options.statistics = statistics_;
    options.curvature.output_moments |= needs_moments_ && !statistics_;
  }
  if (tokens_ > 0) options.size.tokens = tokens_;
  options.threads = threads_;
  options.journal = folder_ / "journal";
  options.journal_key = contestant.text;
  options.progress = [stage](const char* name) { return stage(name); };
  const auto inputs = archive::expand_inputs(std::span(&model_path_, 1));
  current_->compressor =
      std::make_unique<weights::ModelCompressor>(model_, inputs, text_, std::move(options));
  const auto& made = current_->compressor->statistics();
  if (statistics_ || !made) return;
  statistics_ = made;
  weights::write_statistics(*made, kept_statistics_, true);
}

MadeArchive ArchiveMaker::make(double bits, const fs::path& file) {
  weights::ModelCompressor& compressor = *current_->compressor;
  const auto limit = static_cast<uint64_t>(bits * static_cast<double>(weights_) / 8);
  const double begin = now();
  constexpr int kTries = 6;
  uint64_t allowed = limit, last = 0;
  // What matrices will take is known of some rows of them only.
  for (int i = 0; i < kTries; ++i) {
    archive::WriteOptions write{.overwrite = true};
    compressor.store(compressor.compress({.bytes = allowed}), write);
    archive::write_archive(compressor.inputs(), file, write);
    const uint64_t size = fs::file_size(file);
    if (size <= limit) {
      return {size, current_->setting ? *current_->setting : std::string(), now() - begin};
    }
    fs::remove(file);
    if (size == last || size - limit >= allowed) break;
    last = size;
    allowed -= size - limit;
  }
  fail(ErrorKind::kLimit, "{} bytes are asked for, and its archive has {} ({:.3f} bits a weight)",
       limit, last, 8 * static_cast<double>(last) / static_cast<double>(weights_));
}

void ArchiveMaker::end() {
  if (current_ && current_->compressor) current_->compressor->journal().remove();
  current_.reset();
}

}  // namespace pith::bench
