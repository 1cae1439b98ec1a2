#include "integer.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "float_product.h"
#include "kinds.h"
#include "pith/base/parallel.h"
#include "pith/form/arguments.h"

namespace pith::form {
namespace {

uint64_t panels_of_rows(uint64_t rows) { return rows / kIntegerRows + (rows % kIntegerRows != 0); }

// A row or column needs so much of the side information at least, so that no few bytes say that
// there are many.
constexpr uint64_t kLinesOfByte = 64;

// Classes, or the spread of the weights themselves: classes and steps together, which differ less
// where steps differ much.
template <class Coder>
void code_classes(SideCoder<Coder>& coder, std::vector<int8_t>& classes,
                  const std::vector<int8_t>& steps) {
  std::vector<int16_t> spreads(classes.size());
  for (size_t i = 0; i < spreads.size(); ++i)
    spreads[i] = static_cast<int16_t>(classes[i] + steps[i]);
  bool together = false;
  if constexpr (!Coder::kDecodes) {
    entropy::BinaryCost plain, sums;
    SideCoder(plain).list(std::span(classes));
    SideCoder(sums).list(std::span(spreads));
    together = sums.cost() < plain.cost();
  }
  together = coder.fair_bits(together, 1) != 0;
  if (!together) return coder.list(std::span(classes));
  coder.list(std::span(spreads));
  for (size_t i = 0; i < spreads.size(); ++i)
    classes[i] = static_cast<int8_t>(spreads[i] - steps[i]);
}

template <class Coder>
void code_lines(SideCoder<Coder>& coder, IntegerSteps& steps, IntegerClasses& classes) {
  coder.list(std::span(steps.rows));
  coder.list(std::span(steps.columns));
  code_classes(coder, classes.rows, steps.rows);
  code_classes(coder, classes.columns, steps.columns);
}

IntegerHistogram histogram_of(Shape shape, const IntegerTrellis& trellis,
                              const IntegerClasses& classes, const std::vector<int16_t>& codes) {
  IntegerHistogram h;
  for (uint64_t p = 0; p < panels_of_rows(shape.rows); ++p) {
    const uint64_t first = p * kIntegerRows, rows = std::min(kIntegerRows, shape.rows - first);
    for (uint64_t c = 0; c < shape.cols; ++c) {
      const int16_t* column = codes.data() + (p * shape.cols + c) * kIntegerRows;
      uint8_t state = 0;
      for (uint64_t r = 0; r < rows; ++r) {
        const int k = integer_class(classes.rows[first + r], classes.columns[c]);
        const int symbol = integer_symbol(column[r], low_bits_of(k));
        ++h.counts[state & 1][static_cast<size_t>(k)][symbol_place(symbol)];
        state = trellis.next(state, column[r]);
      }
    }
  }
  return h;
}

}  // namespace

bool integer_steps_fit(const IntegerSteps& steps) {
  const auto most = [](const std::vector<int8_t>& q) {
    return q.empty() ? 0 : static_cast<int>(*std::ranges::max_element(q));
  };
  if (!(steps.step > 0) || !std::isfinite(steps.step)) return false;
  // In double: nothing overflows there.
  return double{steps.step} * std::exp2((most(steps.rows) + most(steps.columns)) / 4.0 + 16) <
             3e38 &&
         double{steps.step} * std::exp2(most(steps.columns) / 4.0 + 1) < 3e38;
}

IntegerForm::IntegerForm(Shape shape, Body body, const IntegerTables& tables)
    : Form(shape), body_(std::move(body)), scales_(body_.steps), tables_(tables) {}

FormPtr IntegerForm::make(Shape shape, const IntegerParameters& asked, IntegerSteps steps,
                          IntegerClasses classes, const std::vector<int16_t>& codes, int threads) {
  if (!integer_steps_fit(steps)) fail(ErrorKind::kUsage, "integer: steps beyond what floats hold");
  const IntegerTrellis trellis(asked.states);
  Body body{asked, trellis, std::move(steps), std::move(classes), {}, {}, {}};
  entropy::BinaryEncoder bits;
  SideCoder coder(bits);
  code_lines(coder, body.steps, body.classes);
  const IntegerHistogram histogram = histogram_of(shape, trellis, body.classes, codes);
  IntegerTables tables;
  write_tables(histogram, plan_tables(histogram), coder, tables);

  const uint64_t panels = shape.size() == 0 ? 0 : panels_of_rows(shape.rows);
  std::vector<Bytes> parts(panels);
  parallel_for(threads, panels, [&](size_t p) {
    const uint64_t first = p * kIntegerRows, rows = std::min(kIntegerRows, shape.rows - first);
    parts[p] = encode_integer_panel(trellis, tables, body.classes, first, rows, shape.cols,
                                    codes.data() + p * shape.cols * kIntegerRows);
  });
  Bytes streams;
  std::vector<uint64_t> words;
  for (Bytes& part : parts) {
    streams.insert(streams.end(), part.begin(), part.end());
    body.ends.push_back(streams.size());
    words.push_back(part.size() / 2);
    part = {};
  }
  coder.list(std::span(words));
  body.side = bits.finish();
  const uint64_t least = (shape.rows + shape.cols) / kLinesOfByte + 1;
  if (body.side.size() < least) body.side.resize(least);
  body.streams = Buffer(std::move(streams));
  return std::make_shared<IntegerForm>(shape, std::move(body), tables);
}

void IntegerForm::write_body(BodyWriter& to) const {
  to.varint(static_cast<uint64_t>(body_.trellis.states()));
  to.varint(static_cast<uint64_t>(body_.asked.size));
  if (body_.asked.size == IntegerParameters::Size::kBits) to.f32(body_.asked.value);
  to.f32(body_.steps.step);
  to.string({reinterpret_cast<const char*>(body_.side.data()), body_.side.size()});
  to.varint(body_.streams.size());
  to.array(body_.streams.bytes);
}

FormPtr IntegerForm::read(Shape shape, BodyReader& in) {
  Body body;
  const auto states = static_cast<int64_t>(in.varint(1, kMostIntegerStates, "states"));
  if (!IntegerTrellis::exists(states)) in.bad("states that no trellis has");
  body.asked.states = static_cast<int>(states);
  body.trellis = IntegerTrellis(body.asked.states);
  body.asked.size = static_cast<IntegerParameters::Size>(in.varint(0, 2, "what was asked for"));
  if (body.asked.size == IntegerParameters::Size::kBits) body.asked.value = in.f32();
  body.steps.step = in.f32();
  const std::string side = in.string();
  body.side.assign(side.begin(), side.end());
  const uint64_t lines = checked_add(shape.rows, shape.cols);
  if (lines / kLinesOfByte >= body.side.size()) in.bad("more rows and columns than are described");

  entropy::BinaryDecoder bits(body.side);
  SideCoder coder(bits);
  body.steps.rows.resize(shape.rows);
  body.steps.columns.resize(shape.cols);
  body.classes.rows.resize(shape.rows);
  body.classes.columns.resize(shape.cols);
  code_lines(coder, body.steps, body.classes);
  if (!integer_steps_fit(body.steps)) in.bad("steps beyond what floats hold");
  if (body.asked.size == IntegerParameters::Size::kStep) body.asked.value = body.steps.step;
  if (!std::isfinite(body.asked.value)) in.bad("bits that are no number");
  const IntegerTables tables = read_tables(coder);
  const uint64_t panels = shape.size() == 0 ? 0 : panels_of_rows(shape.rows);
  std::vector<uint64_t> words(panels);
  coder.list(std::span(words));
  body.streams = in.array(in.varint());
  uint64_t end = 0;
  for (const uint64_t w : words) {
    if (w > body.streams.size() / 2 || 2 * w > body.streams.size() - end)
      in.bad("streams longer than all of them");
    end += 2 * w;
    body.ends.push_back(end);
  }
  if (end != body.streams.size()) in.bad("streams that are no panel's");
  return std::make_shared<IntegerForm>(shape, std::move(body), tables);
}

Expression IntegerForm::expression() const {
  std::vector<Argument> args;
  if (body_.asked.size != IntegerParameters::Size::kAny) {
    // The shortest digits of the float, not those of the same number as a double.
    const double value = std::strtod(fmt::format("{}", body_.asked.value).c_str(), nullptr);
    args.push_back({body_.asked.size == IntegerParameters::Size::kStep ? "step" : "", value});
  }
  if (body_.trellis.states() != IntegerParameters::kDefaultStates)
    args.push_back({"states", body_.trellis.states()});
  return Expression::coder(Expression::call("integer", std::move(args)), Expression::call("rans"));
}

IntegerPanelDecoder IntegerForm::panel(uint64_t panel) const {
  const uint64_t begin = panel == 0 ? 0 : body_.ends[panel - 1], first = panel * kIntegerRows;
  return {{&body_.trellis, &tables_, &body_.classes, &scales_, shape().cols},
          first,
          std::min(kIntegerRows, shape().rows - first),
          body_.streams.bytes.subspan(begin, body_.ends[panel] - begin)};
}

void IntegerForm::decode(uint64_t first, uint64_t last, float* out) const {
  const uint64_t cols = shape().cols;
  if (cols == 0) return;
  while (first < last) {
    const uint64_t skip = first % kIntegerRows, n = std::min(last - first, kIntegerRows - skip);
    IntegerPanelDecoder rows = panel(first / kIntegerRows);
    rows.next(skip, nullptr);
    rows.next(n, out);
    first += n;
    out += n * cols;
  }
}

void IntegerForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                           uint64_t stride) const {
  const uint64_t cols = shape().cols;
  if (cols == 0) return Form::multiply(x, first, last, out, stride);
  const uint64_t tile = tile_rows(cols, x.batch());
  float* const floats = tile_memory(tile * cols);
  while (first < last) {
    const uint64_t skip = first % kIntegerRows, all = std::min(last - first, kIntegerRows - skip);
    IntegerPanelDecoder rows = panel(first / kIntegerRows);
    rows.next(skip, nullptr);
    for (uint64_t r = 0; r < all; r += tile) {
      const uint64_t n = std::min(tile, all - r);
      rows.next(n, floats);
      multiply_floats({DType::kF32, reinterpret_cast<const uint8_t*>(floats), n, cols}, x.vectors(),
                      out + r, stride);
    }
    first += all;
    out += all;
  }
}

bool IntegerForm::is_integer(const Expression& expression) {
  return expression.kind() == Expression::Kind::kCoder && expression.operands()[0].is_call() &&
         expression.operands()[0].name() == "integer";
}

FormPtr IntegerForm::refuse(const Expression& call, MatrixView) {
  throw call.place().error(ErrorKind::kUsage,
                           "integers of any size are only stored coded: `integer(...) > rans`");
}

}  // namespace pith::form
