// Published methods at equal bytes on one model, beside Pith's default: what each loses, and whom
// that hurts.
#include "bench_recipes.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "message.h"
#include "pith/base/file.h"
#include "pith/base/hash.h"
#include "pith/io/text.h"
#include "pith/model/prompt.h"
#include "pith/weights/journal.h"
#include "progress_bar.h"
#include "units.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;
using command::note;

// Results of other versions of what is measured here are not used again.
constexpr std::string_view kRows = "recipes 1";

struct Wanted {
  const Contestant* contestant;
  double bits;
};

class RecipesBench {
 public:
  explicit RecipesBench(const RecipesOptions& o)
      : options_(o),
        contestants_(contestants(o.recipes, o.model)),
        folder_(o.output),
        text_(o.text),
        results_(folder_ / "results"),
        dense_(o.model, o.windows, o.threads),
        maker_(o, made_folder(), dense_.weights(), contestants_),
        ids_(dense_.ids(io::as_text(text_.bytes()))),
        groupings_(
            {audit::groups_by_class(model::tokenizer_of(dense_.model())),
             audit::groups_by_frequency(
                 model::text_ids(dense_.model(), maker_.calibration_text(), {.add_bos = false}),
                 dense_.model().config().vocabulary)}) {
    for (const Contestant& c : contestants_) {
      for (const double bits : o.sizes) wanted_.push_back({&c, bits});
    }
  }

  std::vector<Json> run() {
    for (const Wanted& w : wanted_) left_ += find(w) ? 0 : 1;
    if (left_ < wanted_.size() && !options_.quiet) {
      note("{}: {} of {} archives were measured before", folder_.string(), wanted_.size() - left_,
           wanted_.size());
    }
    std::vector<Json> rows;
    for (const Contestant& c : contestants_) contest(c, rows);
    return rows;
  }

  uint64_t weights() const { return dense_.weights(); }
  uint64_t context() const { return dense_.context(); }

 private:
  fs::path made_folder() const {
    fs::create_directories(folder_);
    return folder_;
  }

  Hash128 key(const Wanted& w) const {
    return weights::KeyMaker()
        .add(kRows)
        .add(PITH_VERSION)
        .add(w.contestant->text)
        .add(w.bits)
        .add(maker_.model_hash())
        .add(maker_.calibration_hash())
        .add(hash128(text_.bytes()))
        .add(options_.windows)
        .add(options_.risen)
        .key();
  }

  std::optional<Json> find(const Wanted& w) {
    const std::optional<Bytes> kept = results_.find(key(w));
    if (!kept) return {};
    Json row = Json::parse(kept->begin(), kept->end(), nullptr, false);
    return row.is_object() ? std::optional(std::move(row)) : std::nullopt;
  }

  void contest(const Contestant& c, std::vector<Json>& rows) {
    std::vector<Json> of_this(options_.sizes.size());
    std::vector<size_t> missing;
    for (size_t i = 0; i < of_this.size(); ++i) {
      if (std::optional<Json> kept = find({&c, options_.sizes[i]})) {
        of_this[i] = std::move(*kept);
      } else {
        missing.push_back(i);
      }
    }
    if (!missing.empty()) {
      std::string refusal = c.refusal;
      if (refusal.empty()) refusal = attempt([&] { maker_.begin(c, stages(c.text)); });
      for (const size_t i : missing) {
        const Wanted w{&c, options_.sizes[i]};
        of_this[i] = refusal.empty() ? made_row(w) : failed_row(w, refusal);
        results_.keep(key(w), as_bytes(of_this[i].dump()));
        say(of_this[i]);
      }
      bar_.reset();
      maker_.end();
    }
    std::ranges::move(of_this, std::back_inserter(rows));
  }

  // Why it cannot be done; empty: it was. What the machine refuses ends all.
  template <class Work>
  static std::string attempt(const Work& work) {
    try {
      work();
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::kIo) throw;
      return e.what();
    } catch (const std::bad_alloc&) {
      return "there is not enough memory";
    }
    return "";
  }

  static Json failed_row(const Wanted& w, const std::string& refusal) {
    Json row = asked_row(*w.contestant, w.bits);
    row["error"] = refusal;
    return row;
  }

  Json made_row(const Wanted& w) {
    const Contestant& c = *w.contestant;
    Json row = asked_row(c, w.bits);
    std::string name = fmt::format("{}-{:g}.pith", c.text, w.bits);
    std::ranges::replace_if(
        name, [](char ch) { return ch == '/' || ch == ':'; }, '_');
    const fs::path file = folder_ / name;
    current_ = fmt::format("{} at {:g} bits", c.text, w.bits);
    const std::string refusal = attempt([&] {
      add_made(row, options_, c, maker_.make(w.bits, file), dense_.weights());
      std::vector<audit::ScoredToken> tokens;
      const auto each = [&](const audit::ScoredToken& t) { tokens.push_back(t); };
      const audit::Evaluation e = dense_.compare(file, ids_, {each, stages(current_)("comparing")});
      const audit::HarmOptions harm{.risen = options_.risen};
      add_measured(row, e, audit::find_harm(tokens, groupings_, harm), harm);
    });
    if (!options_.keep_archives) fs::remove(file);
    return refusal.empty() ? row : failed_row(w, refusal);
  }

  // A bar for each stage of the work, which says what all of it will still take.
  Stage stages(const std::string& what) {
    current_ = what;
    return [this](const std::string& stage) {
      bar_.reset();
      bar_ = std::make_unique<command::ProgressBar>(
          fmt::format("{}: {} ({} of {}{})", current_, stage, done_ + 1, left_, time_left()),
          options_.quiet, command::ProgressUnit::kOther);
      return bar_->callback();
    };
  }

  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

  std::string time_left() const {
    if (done_ == 0) return "";
    const double each = seconds() / static_cast<double>(done_);
    return fmt::format(", about {} left",
                       command::time_text(each * static_cast<double>(left_ - done_)));
  }

  void say(const Json& row) {
    ++done_;
    bar_.reset();
    if (options_.quiet) return;
    const std::string of = fmt::format("{} at {:g} bits", row.at("recipe").get<std::string>(),
                                       row.at("asked").get<double>());
    const std::string came =
        row.contains("error")
            ? row.at("error").get<std::string>()
            : fmt::format("{:.3f} bits, divergence {:.3g}, perplexity {:.3f}",
                          row.at("bits").get<double>(), row.at("kl").at("mean").get<double>(),
                          row.at("perplexity").at("mean").get<double>());
    note("{}: {} ({} of {} in {}{})", of, came, done_, left_, command::time_text(seconds()),
         done_ < left_ ? time_left() : "");
  }

  const RecipesOptions& options_;
  std::vector<Contestant> contestants_;
  fs::path folder_;
  MappedFile text_;
  weights::Journal results_;
  DenseModel dense_;
  ArchiveMaker maker_;
  std::vector<int32_t> ids_;
  std::array<audit::Grouping, 2> groupings_;
  std::vector<Wanted> wanted_;
  size_t left_ = 0, done_ = 0;  // archives that this run makes
  std::string current_;
  std::unique_ptr<command::ProgressBar> bar_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace

void bench_recipes(const RecipesOptions& given) {
  RecipesOptions o = given;
  std::ranges::sort(o.sizes);
  for (const double size : o.sizes) {
    if (!(size > 0) || !(size <= 64)) {
      fail(ErrorKind::kUsage, "--sizes: {} is no number of bits for a weight", size);
    }
  }
  if (std::ranges::adjacent_find(o.sizes) != o.sizes.end()) {
    fail(ErrorKind::kUsage, "--sizes: a number comes twice");
  }
  const fs::path folder = o.output;
  RecipesBench bench(o);
  const std::vector<Json> rows = bench.run();

  Report report("recipes", false);
  report.section(fmt::format("Published methods at equal bytes: {} on {}", o.model, o.text));
  report.note(
      fmt::format("{} weights; bits: 8 times the bytes of the whole archive, everything counted, "
                  "for each; each "
                  "method's own options of size are turned, and the largest that fits is taken; "
                  "what methods that take parts out leave is compressed by Pith's default",
                  bench.weights()));
  report.note(fmt::format(
      "KL: of the archive's predictions from the model's, nats a token; {} windows of {} "
      "predictions, every matrix decoded to f32; intervals of 95% by resampling windows",
      o.windows, bench.context()));
  report.note(fmt::format("calibration: {}",
                          o.calibration.empty() ? "the text that Pith comes with" : o.calibration));
  report_rows(o, rows, report);
  std::string left_out;
  const fs::path svg = o.svg.empty() ? folder / "frontier.svg" : fs::path(o.svg);
  write_file(svg, as_bytes(recipes_svg(o, rows, left_out)), true);
  report.section("Files");
  report.note("plot: " + svg.string() + (left_out.empty() ? "" : ", without " + left_out));
  const fs::path json = o.json.empty() ? folder / "results.json" : fs::path(o.json);
  const Json all = {{"benchmark", "recipes"},
                    {"version", PITH_VERSION},
                    {"model", o.model},
                    {"weights", bench.weights()},
                    {"text", o.text},
                    {"calibration", o.calibration},
                    {"windows", o.windows},
                    {"context", bench.context()},
                    {"rows", rows}};
  write_file(json, as_bytes(all.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"), true);
  report.note("everything: " + json.string());
  report.finish();
}

}  // namespace pith::bench
