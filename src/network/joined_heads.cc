#include "pith/network/joined_heads.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "layer_table.h"
#include "pith/base/error.h"
#include "pith/budget/solve.h"
#include "pith/fit/low_rank.h"
#include "pith/form/kept_lines.h"
#include "pith/math/eigen.h"
#include "pith/network/attention.h"
#include "pith/network/fitted_layers.h"

namespace pith::network {
namespace {

using form::Matrix;
using Rows = std::vector<uint64_t>;

constexpr uint64_t kSteps = 8;

// The sum of (x, 1) (x, 1)ᵀ over a layer's inputs, as a mean.
struct Moments {
  std::optional<fit::SecondMoment> sum;

  double at(uint64_t i, uint64_t j) const {
    return sum->matrix()[i * sum->channels() + j] / static_cast<double>(sum->count());
  }
};

// W M Wᵀ of some rows and columns of M, damped.
std::vector<double> seen_through(const Matrix& w, const Moments& m, double damping) {
  const auto [rows, cols] = w.shape;
  std::vector<double> half(rows * cols), out(rows * rows);
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t i = 0; i < cols; ++i) {
      for (uint64_t j = 0; j < cols; ++j) half[r * cols + j] += w.view().row(r)[i] * m.at(i, j);
    }
  }
  double trace = 0;
  for (uint64_t a = 0; a < rows; ++a) {
    for (uint64_t b = 0; b < rows; ++b) {
      for (uint64_t j = 0; j < cols; ++j)
        out[a * rows + b] += half[a * cols + j] * w.view().row(b)[j];
    }
    trace += out[a * rows + a];
  }
  const double more = damping * (trace > 0 ? trace / static_cast<double>(rows) : 1);
  for (uint64_t a = 0; a < rows; ++a) {
    out[a * rows + a] += more;
    for (uint64_t b = 0; b < a; ++b) out[b * rows + a] = out[a * rows + b];
  }
  return out;
}

// P^½ and P^-½ of a symmetric matrix.
std::pair<Matrix, Matrix> roots(const std::vector<double>& p, uint64_t n) {
  const std::vector<float> values(p.begin(), p.end());
  const math::SymmetricEigen e = math::symmetric_eigen(values.data(), n);
  Matrix root({n, n}), inverse({n, n});
  const float least = 1e-6F * std::max(e.values[0], 1e-30F);
  for (uint64_t k = 0; k < n; ++k) {
    const float s = std::sqrt(std::max(e.values[k], least));
    for (uint64_t i = 0; i < n; ++i) {
      for (uint64_t j = 0; j < n; ++j) {
        const float v = e.vectors[k * n + i] * e.vectors[k * n + j];
        root.row(i)[j] += s * v;
        inverse.row(i)[j] += v / s;
      }
    }
  }
  return {std::move(root), std::move(inverse)};
}

// a b, or aᵀ b.
Matrix product(const Matrix& a, const Matrix& b, bool turn_a = false) {
  const uint64_t rows = turn_a ? a.shape.cols : a.shape.rows;
  const uint64_t inner = turn_a ? a.shape.rows : a.shape.cols;
  Matrix out({rows, b.shape.cols});
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t k = 0; k < inner; ++k) {
      const float f = turn_a ? a.view().row(k)[r] : a.view().row(r)[k];
      for (uint64_t c = 0; c < b.shape.cols; ++c) out.row(r)[c] += f * b.view().row(k)[c];
    }
  }
  return out;
}

fit::Truncation truncation(const Matrix& w, std::vector<double> inputs) {
  const uint64_t n = w.shape.cols;
  const fit::Metric metric = fit::Metric::second_moments(n, std::move(inputs));
  return fit::Truncation({.name = "head", .weights = w.view(), .inputs = metric}, n,
                         {.damping = 0});
}

// One head's product, of which any rank can be had.
struct Pair {
  fit::Truncation cut;
  Matrix inverse_root;  // P^-½ of queries; of values none

  // What the rows of the first factor (queries) and of the second become.
  Matrix first(uint64_t r) const { return product(cut.left(r), inverse_root, true); }
  Matrix second(uint64_t r) const { return cut.right(r); }
};

// A layer's weights, with their biases where they have some, as they are changed.
class Changed {
 public:
  Changed(const Network& network, const std::vector<Attention>& attention) : network_(network) {
    for (const Attention& a : attention) {
      for (const Projection* p : {&a.query, &a.key, &a.value, &a.output}) {
        if (!weights_.contains(p->layer)) weights_[p->layer] = network.decoded(p->layer);
        if (p->bias.empty() || biases_.contains(p->bias)) continue;
        const auto b = network.graph().constants.at(p->bias).floats();
        biases_[p->bias] = {b.begin(), b.end()};
      }
    }
  }

  const std::map<size_t, Matrix>& weights() const { return weights_; }
  const std::map<std::string, std::vector<float>, std::less<>>& biases() const { return biases_; }
  // Rows of a head as they were, with the bias as one more column.
  Matrix rows(const Projection& p, size_t head) const {
    const Matrix w = network_.decoded(p.layer);
    const Rows& rows = p.rows[head];
    Matrix out({rows.size(), w.shape.cols + 1});
    for (uint64_t i = 0; i < rows.size(); ++i) {
      std::ranges::copy(w.view().row(rows[i]), out.row(i).begin());
      if (p.bias.empty()) continue;
      out.row(i)[w.shape.cols] = network_.graph().constants.at(p.bias).floats()[rows[i]];
    }
    return out;
  }
  // The first rows of a head are these, the others zero.
  void put(const Projection& p, size_t head, const Matrix& made) {
    Matrix& w = weights_.at(p.layer);
    const Rows& rows = p.rows[head];
    for (uint64_t i = 0; i < rows.size(); ++i) {
      const bool there = i < made.shape.rows;
      for (uint64_t c = 0; c < w.shape.cols; ++c) {
        w.row(rows[i])[c] = there ? made.view().row(i)[c] : 0;
      }
      if (!p.bias.empty()) {
        biases_.at(p.bias)[rows[i]] = there ? made.view().row(i)[w.shape.cols] : 0;
      }
    }
  }
  // The same of columns.
  void put_columns(const Projection& p, size_t head, const Matrix& made) {
    Matrix& w = weights_.at(p.layer);
    const Rows& columns = p.rows[head];
    for (uint64_t i = 0; i < columns.size(); ++i) {
      for (uint64_t r = 0; r < w.shape.rows; ++r) {
        w.row(r)[columns[i]] = i < made.shape.cols ? made.view().row(r)[i] : 0;
      }
    }
  }

 private:
  const Network& network_;
  std::map<size_t, Matrix> weights_;
  std::map<std::string, std::vector<float>, std::less<>> biases_;
};

// What a rank is chosen for: a kind of product of all heads of an attention, or a layer.
struct Part {
  const Attention* attention = nullptr;  // null: a layer
  bool queries = false;
  size_t layer = 0;
  std::vector<Pair> heads = {};
  std::vector<uint64_t> ranks = {};                            // of a layer, of each step; 0: whole
  std::vector<form::FormPtr> forms = {};                       // the same
  std::vector<double> losses = {}, bytes = {}, elements = {};  // of each step
};

class Joiner {
 public:
  Joiner(const JoiningLayers& joining, const JoinOptions& options)
      : j_(joining), o_(options), net_(joining.network) {
    if (j_.inputs.empty()) {
      fail(ErrorKind::kUsage, "heads are joined by what their layers see: it needs inputs");
    }
    if (!(o_.keep > 0 && o_.keep <= 1)) fail(ErrorKind::kUsage, "keep is a share above 0%");
    const std::vector<Tensor> first = {j_.inputs};
    for (Attention& a : find_attention(net_, first)) {
      if (takes(a)) attention_.push_back(std::move(a));
    }
  }

  TensorForms run() {
    look();
    make_parts();
    const std::vector<size_t> chosen = choose();
    return stored(chosen);
  }

 private:
  bool takes(const Attention& a) const {
    if (!o_.queries && !o_.values) return false;
    for (const Projection* p : {&a.query, &a.key, &a.value, &a.output}) {
      if (!j_.fitted[p->layer]) return false;
      if (p != &a.output && !p->bias.empty() && !j_.has_tensor(p->bias)) return false;
    }
    return true;
  }
  bool in_heads(size_t layer) const {
    return std::ranges::any_of(attention_, [&](const Attention& a) {
      return (o_.queries && (a.query.layer == layer || a.key.layer == layer)) ||
             (o_.values && (a.value.layer == layer || a.output.layer == layer)) ||
             // A matrix of all three is one tensor, which has one form.
             a.query.layer == layer || a.value.layer == layer;
    });
  }

  void look() {
    std::set<size_t> wanted;
    for (const Attention& a : attention_) {
      wanted.insert({a.query.layer, a.key.layer, a.output.layer});
    }
    RunOptions run;
    run.threads = j_.threads;
    run.inputs = [&](size_t layer, form::MatrixView x) {
      if (!wanted.contains(layer)) return;
      auto& sum = moments_[layer].sum;
      if (!sum) sum.emplace(x.shape.cols + 1);
      Matrix more({x.shape.rows, x.shape.cols + 1});
      for (uint64_t r = 0; r < x.shape.rows; ++r) {
        std::ranges::copy(x.row(r), more.row(r).begin());
        more.row(r)[x.shape.cols] = 1;
      }
      sum->add(more.view(), j_.threads);
    };
    net_.run(j_.inputs, run);
  }

  Pair of_queries(const Attention& a, size_t head, const Changed& now) const {
    const uint64_t n = a.query.rows[head].size();
    const auto p = seen_through(now.rows(a.query, head), moments_.at(a.query.layer), o_.damping);
    auto q = seen_through(now.rows(a.key, head), moments_.at(a.key.layer), o_.damping);
    auto [root, inverse] = roots(p, n);
    return {truncation(root, std::move(q)), std::move(inverse)};
  }

  Pair of_values(const Attention& a, size_t head) const {
    const Matrix w = net_.decoded(a.output.layer);
    const Rows& columns = a.output.rows[head];
    const uint64_t n = columns.size();
    Matrix own({w.shape.rows, n});
    for (uint64_t r = 0; r < w.shape.rows; ++r) {
      for (uint64_t c = 0; c < n; ++c) own.row(r)[c] = w.view().row(r)[columns[c]];
    }
    const Moments& m = moments_.at(a.output.layer);
    std::vector<double> inputs(n * n);
    double trace = 0;
    for (uint64_t i = 0; i < n; ++i) {
      for (uint64_t k = 0; k < n; ++k) inputs[i * n + k] = m.at(columns[i], columns[k]);
      trace += inputs[i * n + i];
    }
    for (uint64_t i = 0; i < n; ++i) {
      inputs[i * n + i] += o_.damping * (trace > 0 ? trace / static_cast<double>(n) : 1);
    }
    return {truncation(own, std::move(inputs)), {}};
  }

  static uint64_t rank_at(uint64_t size, size_t step) {
    return std::max<uint64_t>(1, (size * (step + 1) + kSteps - 1) / kSteps);
  }

  // Bytes of an element of what is kept, from a matrix of some size.
  double bytes_each() const {
    Matrix some({64, 64});
    for (size_t i = 0; i < some.values.size(); ++i) some.values[i] = static_cast<float>(i % 17);
    return static_cast<double>(form::bits(*form::encode(o_.factors, some.view()))) / 8 / 4096;
  }

  void make_parts() {
    const Changed now(net_, attention_);
    const double each = bytes_each();
    for (const Attention& a : attention_) {
      for (const bool queries : {true, false}) {
        if (queries ? !o_.queries : !o_.values) continue;
        Part part{.attention = &a, .queries = queries};
        for (size_t h = 0; h < a.heads(); ++h) {
          part.heads.push_back(queries ? of_queries(a, h, now) : of_values(a, h));
        }
        const Projection &one = queries ? a.query : a.value, &other = queries ? a.key : a.output;
        const uint64_t size = one.rows[0].size();
        const double lines =
            static_cast<double>(net_.layers()[one.layer].weight->shape().cols) +
            static_cast<double>(queries ? net_.layers()[other.layer].weight->shape().cols
                                        : net_.layers()[other.layer].weight->shape().rows);
        for (size_t step = 0; step < kSteps; ++step) {
          const uint64_t r = rank_at(size, step);
          double loss = 0;
          for (const Pair& p : part.heads) loss += std::max(0.0, p.cut.error(r));
          part.ranks.push_back(r);
          part.losses.push_back(r == size ? 0 : loss);
          part.elements.push_back(lines * static_cast<double>(r * a.heads()));
          part.bytes.push_back(each * part.elements.back());
        }
        parts_.push_back(std::move(part));
      }
    }
    add_layers();
    weigh();
  }

  // What stands in no product of heads: low ranks, or whole.
  void add_layers() {
    std::vector<bool> which(net_.layers().size());
    for (size_t i = 0; i < which.size(); ++i) which[i] = j_.fitted[i] && !in_heads(i);
    visit_moments(net_, j_.inputs, which, j_.threads, [&](size_t i, const fit::Metric& metric) {
      const Matrix w = net_.decoded(i);
      const fit::Task task{j_.stored[i].tensor, w.view(), metric, {}, j_.threads};
      Part part{.layer = i};
      const uint64_t even = fit::rank_of_share(w.shape, 1);
      // Each is a part of the largest, whose directions are found once.
      std::vector<uint64_t> ranks;
      std::vector<fit::RankOf> of_rank;
      for (size_t step = 0; step + 1 < kSteps; ++step) {
        const uint64_t r = even * (step + 1) / kSteps;
        if (r == 0) continue;
        ranks.push_back(r);
        of_rank.emplace_back([r](form::Shape) { return r; });
      }
      const auto fitters = fit::nested_low_ranks(of_rank, o_.factors, {.damping = o_.damping});
      ranks.push_back(0);
      for (size_t k = 0; k < ranks.size(); ++k) {
        const uint64_t r = ranks[k];
        form::FormPtr form = r == 0 ? form::encode(o_.factors, w.view()) : fitters[k](task).form;
        part.ranks.push_back(r);
        part.losses.push_back(fit::error(metric, w.view(), form::decode(*form).view()));
        part.elements.push_back(
            static_cast<double>(r == 0 ? w.shape.size() : r * (w.shape.rows + w.shape.cols)));
        part.bytes.push_back(static_cast<double>(form::bits(*form)) / 8);
        part.forms.push_back(std::move(form));
      }
      parts_.push_back(std::move(part));
    });
  }

  // What a loss does to the outputs: measured at half the rank.
  void weigh() {
    const std::vector<Tensor> outputs = net_.run(j_.inputs, {.threads = j_.threads});
    for (size_t k = 0; k < parts_.size(); ++k) {
      Part& part = parts_[k];
      const size_t step = part.losses.size() > 1 ? (part.losses.size() - 1) / 2 : 0;
      double share = 0;
      if (part.losses[step] > 0) {
        std::vector<size_t> chosen(parts_.size(), SIZE_MAX);
        chosen[k] = step;
        share = output_error(changed(chosen).run(j_.inputs, {.threads = j_.threads}), outputs) /
                part.losses[step];
      }
      for (double& loss : part.losses) loss *= std::isfinite(share) ? share : 1;
      report(j_.progress, k + 1, parts_.size());
    }
  }

  // With parts at these steps; past the last one as they were.
  Changed heads_at(const std::vector<size_t>& chosen) const {
    Changed now(net_, attention_);
    for (size_t k = 0; k < parts_.size(); ++k) {
      const Part& part = parts_[k];
      if (!part.attention || chosen[k] >= part.ranks.size()) continue;
      const uint64_t r = part.ranks[chosen[k]];
      const Attention& a = *part.attention;
      for (size_t h = 0; h < a.heads(); ++h) {
        const Pair& pair = part.heads[h];
        if (r == (part.queries ? a.query : a.value).rows[h].size()) continue;
        if (part.queries) {
          now.put(a.query, h, product(pair.first(r), now.rows(a.query, h)));
          now.put(a.key, h, product(pair.second(r), now.rows(a.key, h)));
        } else {
          now.put(a.value, h, product(pair.second(r), now.rows(a.value, h)));
          now.put_columns(a.output, h, pair.cut.left(r));
        }
      }
    }
    return now;
  }

  Network changed(const std::vector<size_t>& chosen) const {
    const Changed now = heads_at(chosen);
    Graph graph = net_.graph();
    for (const auto& [name, values] : now.biases()) {
      graph.constants.insert_or_assign(name, Tensor({values.size()}, values));
    }
    Network out(std::move(graph));
    for (const auto& [layer, w] : now.weights()) out.set_form(layer, exact(w.view()));
    for (size_t k = 0; k < parts_.size(); ++k) {
      const Part& part = parts_[k];
      if (part.attention || chosen[k] >= part.forms.size()) continue;
      out.set_form(part.layer, exact(form::decode(*part.forms[chosen[k]]).view()));
    }
    return out;
  }

  std::vector<size_t> choose() const {
    budget::Problem problem{.resources = {"bytes"}, .parts = {}};
    double all = 0;
    for (const Part& part : parts_) {
      budget::Part one{.name = fmt::format("part {}", problem.parts.size()), .candidates = {}};
      for (size_t s = 0; s < part.losses.size(); ++s) {
        const double cost = j_.bytes ? part.bytes[s] : part.elements[s];
        one.candidates.push_back({fmt::format("{}", s), part.losses[s], {cost}});
      }
      all += part.elements.back();
      problem.parts.push_back(std::move(one));
    }
    // What frames and places of rows take was not counted.
    const double most =
        j_.bytes ? *j_.bytes - 64.0 * static_cast<double>(parts_.size()) : o_.keep * all;
    if (!o_.searched) return same(problem, most);
    return budget::solve(problem, {.within = {{"bytes", most}}}).chosen;
  }

  // The same share of all ranks, as large as it can be.
  std::vector<size_t> same(const budget::Problem& problem, double most) const {
    for (size_t step = kSteps; step-- > 0;) {
      std::vector<size_t> chosen;
      for (const Part& part : parts_) {
        const size_t missing = kSteps - part.losses.size();
        chosen.push_back(step < missing ? 0 : step - missing);
      }
      if (budget::totals(problem, chosen).costs[0] <= most) return chosen;
    }
    fail(ErrorKind::kLimit, "no share of all ranks takes as little as that");
  }

  TensorForms stored(const std::vector<size_t>& chosen) const {
    TensorForms out;
    const Changed now = heads_at(chosen);
    std::set<size_t> outputs;
    for (const Attention& a : attention_) {
      if (a.output.layer != a.value.layer) outputs.insert(a.output.layer);
    }
    for (const auto& [layer, w] : now.weights()) {
      const form::FormPtr form = outputs.contains(layer) ? form::kept_columns(w, o_.factors)
                                                         : form::kept_rows(w, o_.factors);
      out[j_.stored[layer].tensor] = as_stored(j_.stored[layer], form);
    }
    for (const auto& [name, values] : now.biases()) {
      const auto before = net_.graph().constants.at(name).floats();
      if (std::ranges::equal(before, values)) continue;
      out[name] = exact({values.data(), {1, values.size()}});
    }
    for (size_t k = 0; k < parts_.size(); ++k) {
      const Part& part = parts_[k];
      if (part.attention) continue;
      out[j_.stored[part.layer].tensor] = as_stored(j_.stored[part.layer], part.forms[chosen[k]]);
    }
    if (j_.note) {
      j_.note(fmt::format("{} of attention found, {} heads", attention_.size(),
                          attention_.empty() ? 0 : attention_[0].heads()));
    }
    return out;
  }

  const JoiningLayers& j_;
  const JoinOptions& o_;
  const Network& net_;
  std::vector<Attention> attention_;
  std::map<size_t, Moments> moments_;
  std::vector<Part> parts_;
};

}  // namespace

TensorForms join_heads(const JoiningLayers& joining, const JoinOptions& options) {
  return Joiner(joining, options).run();
}

}  // namespace pith::network
