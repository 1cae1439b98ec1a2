// `trellis(…)` in the making, for fitters that choose paths and scales themselves:
//
//   TrellisFit fit(encode(parse("trellis(2)"), weights));
//   PathSearch search = fit.search();  // path_search.h
//   search(…, windows);
//   fit.set_windows(row, windows);
//   const FormPtr form = fit.form();
//
// It begins with the paths and scales that encode() found.
#pragma once

#include <memory>
#include <span>

#include "pith/form/form.h"
#include "pith/form/path_search.h"

namespace pith::form {

class TrellisFit {
 public:
  static bool fits(const Expression& expression);

  // Throws ErrorKind::kUsage for a form of another kind.
  explicit TrellisFit(const FormPtr& start);
  TrellisFit(TrellisFit&&) noexcept;
  ~TrellisFit();

  Shape shape() const;
  // Columns of a row that share a scale, or all; 0: rows have no scales of their own.
  uint64_t group_length() const;
  float scale(uint64_t row, uint64_t column) const;
  float rounded(float scale) const;  // the nearest that is stored
  // Sets the scale of the element's group to the nearest that is stored, and returns that.
  float set_scale(uint64_t row, uint64_t column, float scale);

  // For one thread.
  PathSearch search() const;
  // Windows of a row's elements, and what they stand for before scales. Threads may set rows of
  // their own.
  std::span<const uint16_t> windows(uint64_t row) const;
  void set_windows(uint64_t row, const uint16_t* windows);
  static float value(uint16_t window);

  FormPtr form() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace pith::form
