// Pyramid codes under a metric M: pulses are given out one by one where they bring the direction
// nearest, (x M q)² / (q M q), then moved from one element to another as long as that helps.
#include <algorithm>
#include <bit>
#include <cmath>

#include "vector_codes.h"

namespace pith::form {
namespace {

constexpr int kMostMoves = 8;
constexpr double kLeastGain = 1e-5;

// One direction in the making.
class Direction {
 public:
  Direction(const Pyramid& pyramid, std::span<const double> metric)
      : dim_(pyramid.dim()), pulses_(pyramid.pulses()), m_(metric), wanted_(dim_), left_(dim_) {}

  void operator()(const float* x, int16_t* q) {
    begin(x, q);
    for (uint64_t given = given_; given < pulses_; ++given) give(q);
    for (int i = 0; i < kMostMoves && move(q); ++i) {
    }
  }
  // x M q and q M q.
  double product() const { return product_; }
  double square() const { return square_; }

  void measure(const float* x, const int16_t* q) {
    set_wanted(x);
    given_ = 0;
    std::ranges::fill(left_, 0.0);
    product_ = square_ = 0;
    for (uint64_t i = 0; i < dim_; ++i) {
      if (q[i] != 0) add(i, q[i]);
    }
  }

 private:
  void set_wanted(const float* x) {
    for (uint64_t i = 0; i < dim_; ++i) {
      double sum = 0;
      for (uint64_t j = 0; j < dim_; ++j) sum += m_[i * dim_ + j] * x[j];
      wanted_[i] = sum;
    }
  }

  // x on the pyramid, rounded towards zero.
  void begin(const float* x, int16_t* q) {
    double total = 0;
    for (uint64_t i = 0; i < dim_; ++i) total += std::fabs(x[i]);
    for (uint64_t i = 0; i < dim_; ++i) {
      const double share = total > 0 ? std::fabs(x[i]) / total * static_cast<double>(pulses_) : 0;
      const auto size = static_cast<int16_t>(share);
      q[i] = x[i] < 0 ? static_cast<int16_t>(-size) : size;
    }
    measure(x, q);
    given_ = 0;
    for (uint64_t i = 0; i < dim_; ++i) given_ += static_cast<uint64_t>(std::abs(q[i]));
  }

  void add(uint64_t at, int by) {
    product_ += by * wanted_[at];
    square_ += by * (2 * left_[at] + by * m_[at * dim_ + at]);
    for (uint64_t i = 0; i < dim_; ++i) left_[i] += by * m_[at * dim_ + i];
  }

  // How near the direction comes, the larger the nearer; below 0 where it points away.
  static double nearness(double product, double square) {
    if (!(square > 0)) return product > 0 ? INFINITY : -INFINITY;
    return product * std::fabs(product) / square;
  }
  double after(uint64_t at, int by, double product, double square, double left) const {
    return nearness(product + by * wanted_[at], square + 2 * by * left + m_[at * dim_ + at]);
  }

  void give(int16_t* q) {
    uint64_t best = 0;
    int sign = q[0] < 0 ? -1 : 1;
    double most = -INFINITY;
    for (uint64_t i = 0; i < dim_; ++i) {
      for (const int by : {1, -1}) {
        if (q[i] * by < 0) continue;
        const double near = after(i, by, product_, square_, left_[i]);
        if (near > most) {
          most = near;
          best = i;
          sign = by;
        }
      }
    }
    q[best] = static_cast<int16_t>(q[best] + sign);
    add(best, sign);
  }

  // The best move of one pulse.
  bool move(int16_t* q) {
    const double now = nearness(product_, square_);
    double most = now + kLeastGain * std::fabs(now);
    uint64_t from = dim_, to = 0;
    int sign = 1;
    for (uint64_t j = 0; j < dim_; ++j) {
      if (q[j] == 0) continue;
      const int taken = q[j] > 0 ? -1 : 1;
      const double product = product_ + taken * wanted_[j];
      const double square = square_ + 2 * taken * left_[j] + m_[j * dim_ + j];
      for (uint64_t i = 0; i < dim_; ++i) {
        // Of one element a pulse may go to the other side, if it is the only one.
        if (i == j && std::abs(q[j]) != 1) continue;
        const double left = left_[i] + taken * m_[j * dim_ + i];
        for (const int by : {1, -1}) {
          if (i == j ? by != taken : q[i] * by < 0) continue;
          const double near = after(i, by, product, square, left);
          if (near > most) {
            most = near;
            from = j;
            to = i;
            sign = by;
          }
        }
      }
    }
    if (from == dim_) return false;
    const int taken = q[from] > 0 ? -1 : 1;
    q[from] = static_cast<int16_t>(q[from] + taken);
    add(from, taken);
    q[to] = static_cast<int16_t>(q[to] + sign);
    add(to, sign);
    return true;
  }

  uint64_t dim_, pulses_, given_ = 0;
  std::span<const double> m_;
  std::vector<double> wanted_, left_;  // M x and M q
  double product_ = 0, square_ = 0;
};

class PyramidCodes final : public VectorCodes {
 public:
  explicit PyramidCodes(const PyramidForm& form)
      : form_(form), p_(form.parameters()), runs_(runs_of_row(p_, form.shape())) {
    const uint64_t n = form.shape().rows * runs_;
    points_.resize(n * p_.dim);
    codes_.resize(n);
    std::vector<int> point(p_.dim);
    const int bits = form.pyramid().bits();
    for (uint64_t i = 0; i < n; ++i) {
      const PyramidIndex code = form.code(i);
      codes_[i] = static_cast<uint8_t>(code >> bits);
      form.pyramid().point(code & ((PyramidIndex{1} << bits) - 1), point.data());
      std::ranges::transform(point, points_.begin() + static_cast<int64_t>(i * p_.dim),
                             [](int v) { return static_cast<int16_t>(v); });
    }
    for (uint64_t i = 0; i < uint64_t{1} << p_.gain_bits; ++i) gains_.push_back(form.gain(i));
  }

  uint64_t dim() const override { return p_.dim; }

  void choose(const UnscaledRun& run) override {
    Direction direction(form_.pyramid(), run.metric);
    std::vector<int16_t> q(p_.dim);
    for (uint64_t r = 0; r < run.rows; ++r) {
      const float* x = run.wanted + r * p_.dim;
      const uint64_t at = place(run.row + r, run.column);
      direction(x, q.data());
      const uint8_t gain = nearest_gain(direction);
      const double error = error_of(direction, gain);
      if (run.only_better) {
        direction.measure(x, point(at));
        const double now = error_of(direction, codes_[at]);
        if (!(error < now - kLeastGain * std::fabs(now))) continue;
      }
      std::ranges::copy(q, points_.begin() + static_cast<int64_t>(at * p_.dim));
      codes_[at] = gain;
      decode(run.row + r, run.column, run.values + r * p_.dim);
    }
  }

  uint64_t entries() const override { return gains_.size(); }
  std::vector<double> entry_values() const override { return {gains_.begin(), gains_.end()}; }
  void set_entries(std::span<const double> entries) override {
    std::ranges::transform(entries, gains_.begin(), [](double v) { return static_cast<float>(v); });
  }

  void decode(uint64_t row, uint64_t column, float* out) const override {
    const uint64_t at = place(row, column);
    for (uint64_t i = 0; i < p_.dim; ++i) {
      out[i] = gains_[codes_[at]] * static_cast<float>(point(at)[i]);
    }
  }
  void decode_with(std::span<const double> entries, uint64_t row, uint64_t column,
                   double* out) const override {
    const uint64_t at = place(row, column);
    for (uint64_t i = 0; i < p_.dim; ++i) out[i] = entries[codes_[at]] * point(at)[i];
  }
  void add_products(uint64_t row, uint64_t column, const double* elements,
                    double* sums) const override {
    const uint64_t at = place(row, column);
    for (uint64_t i = 0; i < p_.dim; ++i) sums[codes_[at]] += elements[i] * point(at)[i];
  }

  FormPtr form(Buffer scales) const override {
    const Pyramid& pyramid = form_.pyramid();
    Bytes gains;
    for (const float g : gains_) ByteWriter(gains).u32(std::bit_cast<uint32_t>(g));
    std::vector<PyramidIndex> codes;
    std::vector<int> one(p_.dim);
    for (uint64_t i = 0; i < codes_.size(); ++i) {
      std::copy_n(point(i), p_.dim, one.begin());
      codes.push_back(pyramid.index(one) | PyramidIndex{codes_[i]} << pyramid.bits());
    }
    return std::make_shared<PyramidForm>(
        form_.shape(), p_, Buffer(std::move(gains)), std::move(scales),
        Buffer(PyramidForm::pack(codes, pyramid.bits() + p_.gain_bits)));
  }

 private:
  uint64_t place(uint64_t row, uint64_t column) const { return row * runs_ + column / p_.dim; }
  const int16_t* point(uint64_t at) const { return points_.data() + at * p_.dim; }

  uint8_t nearest_gain(const Direction& d) const {
    const double wanted = d.square() > 0 ? d.product() / d.square() : 0;
    uint64_t best = 0;
    for (uint64_t i = 1; i < gains_.size(); ++i) {
      if (std::fabs(gains_[i] - wanted) < std::fabs(gains_[best] - wanted)) best = i;
    }
    return static_cast<uint8_t>(best);
  }
  // Of (x - gain q), less that of x.
  double error_of(const Direction& d, uint8_t gain) const {
    const double g = gains_[gain];
    return g * (g * d.square() - 2 * d.product());
  }

  const PyramidForm& form_;
  PyramidParameters p_;
  uint64_t runs_;
  std::vector<int16_t> points_;
  std::vector<uint8_t> codes_;  // of gains
  std::vector<float> gains_;
};

}  // namespace

std::unique_ptr<VectorCodes> codes_of(const PyramidForm& form) {
  return std::make_unique<PyramidCodes>(form);
}

}  // namespace pith::form
