#include "tiles.h"

#include <algorithm>

#include "pith/form/arguments.h"
#include "row_sums.h"
#include "storage.h"

namespace pith::form {
namespace {

// Each is compared with each.
constexpr uint64_t kMostParts = 1024;
constexpr Range kAll{0, {}};

uint64_t bound(int64_t at, uint64_t size) {
  // -2^63 has no positive counterpart in 64 bits with a sign.
  if (at < 0) return size - std::min(size, uint64_t{0} - static_cast<uint64_t>(at));
  return std::min(static_cast<uint64_t>(at), size);
}

uint64_t zigzag(int64_t v) {
  return static_cast<uint64_t>(v) << 1 ^ static_cast<uint64_t>(v >> 63);
}
int64_t unzigzag(uint64_t v) { return static_cast<int64_t>(v >> 1 ^ (uint64_t{0} - (v & 1))); }

void write_range(const Range& r, BodyWriter& to) {
  to.varint(zigzag(r.begin));
  to.varint(r.end ? 1 : 0);
  if (r.end) to.varint(zigzag(*r.end));
}

Range read_range(BodyReader& in) {
  Range r;
  r.begin = unzigzag(in.varint());
  if (in.varint(0, 1, "a range's end") == 1) r.end = unzigzag(in.varint());
  if (r.end && (r.begin < 0) == (*r.end < 0) && *r.end < r.begin) in.bad("a range that ends early");
  return r;
}

}  // namespace

TilesForm::Box TilesForm::box(const Range& rows, const Range& cols, Shape shape) {
  Box b{bound(rows.begin, shape.rows), rows.end ? bound(*rows.end, shape.rows) : shape.rows,
        bound(cols.begin, shape.cols), cols.end ? bound(*cols.end, shape.cols) : shape.cols};
  b.bottom = std::max(b.top, b.bottom);
  b.right = std::max(b.left, b.right);
  return b;
}

TilesForm::TilesForm(Shape shape, std::vector<Part> parts) : Form(shape), parts_(std::move(parts)) {
  if (parts_.empty() || parts_.size() > kMostParts) {
    fail(ErrorKind::kUsage, "tiles: 1 to {} parts, not {}", kMostParts, parts_.size());
  }
  uint64_t covered = 0;
  for (const Part& p : parts_) {
    boxes_.push_back(box(p.rows, p.cols, shape));
    const Box& b = boxes_.back();
    if (b.shape() != p.form->shape()) {
      fail(ErrorKind::kUsage, "tiles: a part of another shape than its ranges");
    }
    for (size_t i = 0; i + 1 < boxes_.size(); ++i) {
      if (b.meets(boxes_[i]))
        fail(ErrorKind::kUsage, "tiles: parts {} and {} overlap", i + 1, boxes_.size());
    }
    covered += b.shape().size();
  }
  if (covered != shape.size()) {
    fail(ErrorKind::kUsage, "tiles: the parts leave {} of {} elements out", shape.size() - covered,
         shape.size());
  }
}

Expression TilesForm::expression() const {
  std::vector<Argument> parts;
  for (const Part& p : parts_) {
    std::vector<Argument> args = {{"", Value(p.form->expression())}};
    if (p.rows != kAll) args.push_back({"rows", Value(p.rows)});
    if (p.cols != kAll) args.push_back({"cols", Value(p.cols)});
    parts.push_back({"", Value(Expression::call("part", std::move(args)))});
  }
  return Expression::call("tiles", std::move(parts));
}

void TilesForm::decode(uint64_t first, uint64_t last, float* out) const {
  const uint64_t cols = shape().cols;
  std::vector<float> piece;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Box& b = boxes_[i];
    const uint64_t top = std::max(first, b.top), bottom = std::min(last, b.bottom);
    const uint64_t width = b.right - b.left;
    if (top >= bottom || width == 0) continue;
    if (is_wide(b)) {
      parts_[i].form->decode(top - b.top, bottom - b.top, out + (top - first) * cols);
      continue;
    }
    piece.resize((bottom - top) * width);
    parts_[i].form->decode(top - b.top, bottom - b.top, piece.data());
    for (uint64_t r = top; r < bottom; ++r)
      std::copy_n(piece.data() + (r - top) * width, width, out + (r - first) * cols + b.left);
  }
}

void TilesForm::add_rows(const RowSums& sums) const {
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (boxes_[i].shape().size() == 0) continue;
    parts_[i].form->add_rows(sums.from_row(boxes_[i].top).from_column(boxes_[i].left));
  }
}

Direct TilesForm::direct() const {
  std::vector<FormPtr> forms;
  for (const Part& p : parts_) forms.push_back(p.form);
  return all_direct(forms);
}

void TilesForm::prepare(Activations& x) const {
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Box& b = boxes_[i];
    const Form& form = *parts_[i].form;
    if (form.shape().size() == 0) continue;
    if (is_wide(b)) {
      form.prepare(x);
      continue;
    }
    form.prepare(x.derive(form, [&](MatrixView vectors) {
      Matrix piece({vectors.shape.rows, b.right - b.left});
      for (uint64_t v = 0; v < vectors.shape.rows; ++v)
        std::ranges::copy(vectors.row(v).subspan(b.left, b.right - b.left), piece.row(v).begin());
      return piece;
    }));
  }
}

void TilesForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                         uint64_t stride) const {
  for (uint64_t v = 0; v < x.batch(); ++v) std::fill_n(out + v * stride, last - first, 0.0f);
  std::vector<float> product;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Box& b = boxes_[i];
    const Form& form = *parts_[i].form;
    const uint64_t top = std::max(first, b.top), bottom = std::min(last, b.bottom);
    if (top >= bottom || form.shape().size() == 0) continue;
    if (is_wide(b)) {
      form.multiply(x, top - b.top, bottom - b.top, out + (top - first), stride);
      continue;
    }
    const uint64_t rows = bottom - top;
    product.resize(x.batch() * rows);
    form.multiply(x.derived(form), top - b.top, bottom - b.top, product.data(), rows);
    for (uint64_t v = 0; v < x.batch(); ++v) {
      for (uint64_t r = 0; r < rows; ++r)
        out[v * stride + top - first + r] += product[v * rows + r];
    }
  }
}

void TilesForm::write_body(BodyWriter& to) const {
  to.varint(parts_.size());
  for (const Part& p : parts_) {
    write_range(p.rows, to);
    write_range(p.cols, to);
    to.form(*p.form);
  }
}

FormPtr TilesForm::read(Shape shape, BodyReader& in) {
  std::vector<Part> parts;
  for (uint64_t left = in.varint(1, kMostParts, "parts"); left > 0; --left) {
    const Range rows = read_range(in), cols = read_range(in);
    parts.push_back({rows, cols, in.form()});
  }
  try {
    return std::make_shared<TilesForm>(shape, std::move(parts));
  } catch (const Error& e) {
    in.bad(e.what());
  }
}

FormPtr TilesForm::encode(const Expression& call, MatrixView matrix) {
  if (call.arguments().size() > kMostParts) {
    throw call.place().error(ErrorKind::kUsage, fmt::format("tiles: at most {} parts", kMostParts));
  }
  std::vector<Part> parts;
  std::vector<Box> boxes;
  for (const Argument& a : call.arguments()) {
    const auto* part = a.value.get_if<Expression>();
    if (!a.key.empty() || !part || !part->is_call() || part->name() != "part") {
      throw a.value.place().error(ErrorKind::kUsage,
                                  "tiles: takes part(form, rows=a..b, cols=a..b), any number");
    }
    const Arguments args(*part, {"form", "rows", "cols"});
    const Expression form = args.expression("form");
    const Range rows = args.range("rows", kAll), cols = args.range("cols", kAll);
    const Box b = box(rows, cols, matrix.shape);
    for (size_t i = 0; i < boxes.size(); ++i) {
      if (b.meets(boxes[i])) {
        throw a.value.place().error(ErrorKind::kUsage,
                                    fmt::format("tiles: this part overlaps part {}", i + 1));
      }
    }
    boxes.push_back(b);
    Matrix piece(b.shape());
    for (uint64_t r = 0; r < piece.shape.rows; ++r)
      std::ranges::copy(matrix.row(b.top + r).subspan(b.left, piece.shape.cols),
                        piece.row(r).begin());
    parts.push_back({rows, cols, form::encode(form, piece.view())});
  }
  try {
    return std::make_shared<TilesForm>(matrix.shape, std::move(parts));
  } catch (const Error& e) {
    throw call.place().error(e.kind(), e.what());
  }
}

}  // namespace pith::form
