#include "learned_rotation.h"

#include <algorithm>
#include <deque>
#include <optional>

#include "importance.h"
#include "linears.h"
#include "pith/base/error.h"
#include "pith/fit/rotation.h"
#include "pith/math/matrix_product.h"
#include "pith/weights/calibration_statistics.h"

namespace pith::weights {
namespace {

using fit::Metric;
using fit::RotatedMatrix;
using form::FormPtr;
using form::Matrix;
using form::MatrixView;
using model::DecoderConfig;
using model::DecoderLayer;
using model::LanguageModel;
using model::RotatedWeights;
using model::Rotation;
using Side = RotatedMatrix::Side;
using Numbers = std::vector<double>;

// Rows and columns of all matrices together that a rotation of n coordinates is learned from, for
// each coordinate; at least so many of a matrix.
constexpr uint64_t kLines = 64, kFewestLines = 64;
// Columns are taken in runs, in which groups of all forms end.
constexpr uint64_t kRun = 256;

Progress stage(const RotateOptions& options, const char* name) {
  return options.progress ? options.progress(name) : Progress();
}

// Matrices that share a rotation, of large ones a part.
class Shared {
 public:
  explicit Shared(uint64_t lines) : lines_(std::max(lines, kFewestLines)) {}

  std::span<const RotatedMatrix> matrices() const { return matrices_; }

  // Reads what is rotated: some of its rows.
  void add_reader(const form::Form& form, const Metric& along, const Numbers& across) {
    const auto [rows, cols] = form.shape();
    const uint64_t count = std::min(rows, lines_);
    Matrix m({count, cols});
    Numbers kept;
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t r = i * rows / count;
      form.decode(r, r + 1, m.row(i).data());
      kept.push_back(across[r] * static_cast<double>(rows) / static_cast<double>(count));
    }
    add(std::move(m), Side::kColumns, along, std::move(kept));
  }

  // Writes it: some of its columns.
  void add_writer(const form::Form& form, const Metric& along, const Numbers& across) {
    const uint64_t cols = form.shape().cols, runs = (cols + kRun - 1) / kRun;
    const uint64_t taken = std::min(runs, (lines_ + kRun - 1) / kRun);
    const Matrix all = form::decode(form);
    Numbers kept;
    std::vector<uint64_t> from;
    for (uint64_t i = 0; i < taken; ++i) {
      const uint64_t first = i * runs / taken * kRun;
      for (uint64_t c = first; c < std::min(first + kRun, cols); ++c) from.push_back(c);
    }
    Matrix m({all.shape.rows, from.size()});
    for (uint64_t i = 0; i < from.size(); ++i) {
      kept.push_back(across[from[i]] * static_cast<double>(cols) /
                     static_cast<double>(from.size()));
      for (uint64_t r = 0; r < m.shape.rows; ++r) m.row(r)[i] = all.view().row(r)[from[i]];
    }
    add(std::move(m), Side::kRows, along, std::move(kept));
  }

  void add(Matrix m, Side side, const Metric& along, Numbers across) {
    kept_.push_back(std::move(m));
    matrices_.push_back({kept_.back().view(), side, along, std::move(across)});
  }

 private:
  uint64_t lines_;
  std::deque<Matrix> kept_;
  std::vector<RotatedMatrix> matrices_;
};

// Of a model whose norms are folded already.
class Learner {
 public:
  Learner(const LanguageModel& model, const CalibrationStatistics& statistics,
          const RotateOptions& options)
      : model_(model), statistics_(statistics), options_(options) {
    rounding_ = fit::rounding_to(options.rounding);
  }

  Matrix stream() const {
    const DecoderConfig& c = model_.config();
    uint64_t matrices = 2;
    for (const DecoderLayer& layer : model_.weights().layers) matrices += linears(layer).size();
    Shared shared(kLines * c.width / matrices);
    add_embedding(shared);
    for (const DecoderLayer& layer : model_.weights().layers) {
      if (layer.has_attention()) {
        add_readers({&layer.q, &layer.k, &layer.v}, shared);
        add_writer(layer.output, shared);
      }
      const auto add_network = [&](const model::FeedForward& network) {
        add_readers({&network.gate, &network.up}, shared);
        add_writer(network.down, shared);
      };
      if (layer.feed_forward) add_network(*layer.feed_forward);
      if (!layer.experts) continue;
      for (const model::FeedForward& expert : layer.experts->experts) add_network(expert);
      if (layer.experts->shared) add_network(*layer.experts->shared);
    }
    add_readers({&model_.weights().head}, shared);
    return best(c.width, shared, rounding_, stage(options_, "learning the rotation"));
  }

  // The values of each layer's heads, of the model behind the stream's rotation.
  std::vector<Matrix> values(const RotatedWeights& rotated, const Matrix& stream) const {
    const DecoderConfig& c = model_.config();
    const uint64_t size = c.head_size;
    const Progress progress = stage(options_, "learning rotations of values");
    fit::Rounding rounding = rounding_;
    rounding.group = std::min(rounding.group, size);
    std::vector<Matrix> all;
    for (uint32_t l = 0; l < c.layers; ++l) {
      const DecoderLayer& layer = model_.weights().layers[l];
      const model::LayerSizes sizes = c.sizes(l);
      // Heads that a layer has not stay where they are.
      const uint64_t missing = c.kv_heads - sizes.kv_heads;
      if (!layer.has_attention()) {
        all.insert(all.end(), missing, fit::identity_rotation(size));
        continue;
      }
      const uint64_t group = sizes.heads / sizes.kv_heads;
      const TensorStatistics* v = known(layer.v);
      const TensorStatistics* o = known(layer.output);
      const Matrix v_weights = form::decode(*rotated.form(layer.v.name));
      const Matrix o_weights = form::decode(*rotated.form(layer.output.name));
      const Numbers inputs = v ? rotated_diagonal(v->inputs->metric(), stream) : Numbers();
      const Numbers outputs =
          o ? rotated_diagonal(Metric::diagonal(o->gradients->squares), stream) : Numbers();
      const Metric attended = o ? o->inputs->metric() : Metric();
      for (uint64_t h = 0; h < sizes.kv_heads; ++h) {
        Shared shared(UINT64_MAX);
        if (v) {
          Matrix block({size, v_weights.shape.cols});
          std::copy_n(v_weights.view().row(h * size).data(), block.values.size(),
                      block.values.begin());
          const auto from = v->gradients->squares.begin() + static_cast<ptrdiff_t>(h * size);
          shared.add(std::move(block), Side::kRows,
                     Metric::diagonal({from, from + static_cast<ptrdiff_t>(size)}), inputs);
        }
        for (uint64_t q = h * group; o && q < (h + 1) * group; ++q) {
          shared.add(some_columns(o_weights, q * size, size), Side::kColumns,
                     part_of(attended, q * size, size), outputs);
        }
        all.push_back(best(size, shared, rounding, {}));
        report(progress, all.size(), uint64_t{c.layers} * c.kv_heads);
      }
      all.insert(all.end(), missing, fit::identity_rotation(size));
    }
    return all;
  }

 private:
  // Null: no token came by.
  const TensorStatistics* known(const model::Linear& linear) const {
    const TensorStatistics* found = statistics_.find(linear.name);
    return found && found->inputs && found->gradients ? found : nullptr;
  }

  void add_embedding(Shared& shared) const {
    const Matrix embedding = form::decode(*model_.weights().embedding);
    const Importance importance(&statistics_);
    const Importance::Rows rows = importance.embedding(embedding.view(), false, Metric());
    shared.add_reader(*model_.weights().embedding, rows.metric, rows.outputs);
  }

  // All of one input.
  void add_readers(std::initializer_list<const model::Linear*> all, Shared& shared) const {
    std::optional<Metric> inputs;
    for (const model::Linear* linear : all) {
      const TensorStatistics* seen = known(*linear);
      if (!seen) continue;
      if (!inputs) inputs = seen->inputs->metric();
      shared.add_reader(*linear->weight, *inputs, seen->gradients->squares);
    }
  }

  void add_writer(const model::Linear& linear, Shared& shared) const {
    if (const TensorStatistics* seen = known(linear)) {
      shared.add_writer(*linear.weight, Metric::diagonal(seen->gradients->squares),
                        seen->inputs->squares);
    }
  }

  // Where nothing can be learned, a Hadamard transform is as good as any.
  Matrix best(uint64_t n, const Shared& shared, const fit::Rounding& rounding,
              const Progress& progress) const {
    const Matrix start = fit::hadamard_rotation(n, options_.seed), none = fit::identity_rotation(n);
    fit::LearnedRotation learned = fit::learn_rotation(
        start.view(), shared.matrices(), rounding,
        {.steps = options_.steps, .threads = options_.threads, .progress = progress});
    const double stays =
        fit::rotated_error(none.view(), shared.matrices(), rounding, options_.threads);
    return stays < learned.error ? none : std::move(learned.rotation);
  }

  // Of Rᵀ A R.
  static Numbers rotated_diagonal(const Metric& metric, const Matrix& rotation) {
    const uint64_t n = rotation.shape.rows;
    Numbers out(n, 1.0);
    if (metric.kind() == Metric::Kind::kSquared) return out;
    Numbers r(rotation.values.begin(), rotation.values.end()), ar(n * n);
    if (metric.kind() == Metric::Kind::kSecondMoments) {
      math::matrix_product(math::row_major(metric.matrix().data(), n, n),
                           math::row_major(r.data(), n, n), ar.data(), n);
    } else {
      for (uint64_t i = 0; i < n * n; ++i) ar[i] = metric.importance(i / n) * r[i];
    }
    std::ranges::fill(out, 0.0);
    for (uint64_t i = 0; i < n * n; ++i) out[i % n] += r[i] * ar[i];
    for (double& v : out) v = std::max(v, 0.0);
    return out;
  }

  static Matrix some_columns(const Matrix& m, uint64_t first, uint64_t count) {
    Matrix out({m.shape.rows, count});
    for (uint64_t r = 0; r < m.shape.rows; ++r) {
      std::copy_n(m.view().row(r).data() + first, count, out.row(r).data());
    }
    return out;
  }

  static Metric part_of(const Metric& metric, uint64_t first, uint64_t count) {
    if (metric.kind() != Metric::Kind::kSecondMoments) return {};
    Numbers part;
    for (uint64_t r = first; r < first + count; ++r) {
      const auto row = metric.matrix().subspan(r * metric.columns() + first, count);
      part.insert(part.end(), row.begin(), row.end());
    }
    return Metric::second_moments(count, std::move(part));
  }

  const LanguageModel& model_;
  const CalibrationStatistics& statistics_;
  const RotateOptions& options_;
  fit::Rounding rounding_;
};

}  // namespace

Rotation hadamard_rotations(const DecoderConfig& config, bool stream, uint64_t seed) {
  Rotation out;
  if (stream) out.stream = fit::hadamard_rotation(config.width, seed);
  out.values.assign(uint64_t{config.layers} * config.kv_heads,
                    fit::hadamard_rotation(config.head_size, seed));
  return out;
}

Rotation learned_rotation(const model::WeightSource& source, std::string_view text,
                          const RotateOptions& options) {
  const RotatedWeights folded(
      source, {.stream = fit::identity_rotation(source.config().width), .values = {}},
      options.threads);
  const LanguageModel model = model::make_model(folded);
  const CalibrationText windows = calibration_text(model, text, options.size);
  const CalibrationStatistics statistics =
      calibrate(model, windows.windows, windows.length,
                {.gradient_tokens = options.gradient_tokens,
                 .input_moments = true,
                 .threads = options.threads,
                 .progress = stage(options, "calibrating for the rotation")});
  const Learner learner(model, statistics, options);
  Rotation out{.stream = learner.stream(), .values = {}};
  const RotatedWeights rotated(source, out, options.threads);
  out.values = learner.values(rotated, out.stream);
  return out;
}

}  // namespace pith::weights
