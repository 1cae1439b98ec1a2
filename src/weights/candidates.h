// Forms of which each matrix gets one: what every one of them costs and loses.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pith/budget/solve.h"
#include "pith/weights/compress_model.h"

namespace pith::weights {

class CandidateTable {
 public:
  // The candidates outlive it.
  CandidateTable(std::span<const FormCandidate> candidates, Proxy proxy, bool keep)
      : candidates_(candidates), proxy_(proxy), keep_(keep) {}

  using Fit = std::function<fit::Fitted(const FormCandidate&, const fit::Task&)>;
  // Tries all on some rows of the matrix, or on all of it. Those that refuse it are none of its
  // candidates. Throws ErrorKind::kUsage, with what the last one said, where none takes it.
  void measure(const fit::Task& task, const Fit& fit);

  // A part for each matrix, in the order in which they were measured.
  const budget::Problem& problem() const { return problem_; }
  // Throws ErrorKind::kUsage for the error of outputs where forms are not kept.
  double loss(Proxy proxy, size_t part, size_t candidate) const;
  // Where forms are kept, else null.
  const form::FormPtr& form(size_t part, size_t candidate) const {
    return tried_[part][candidate].form;
  }

  // The least loss within bytes and milliseconds, or where only a loss is limited the fewest bytes.
  static budget::Goal goal(std::optional<double> bytes, std::optional<double> milliseconds,
                           std::optional<double> loss);

  struct Chosen {
    const FormCandidate* candidate = nullptr;
    double bytes = 0, loss = 0, milliseconds = 0;
    form::FormPtr form = nullptr;  // where forms are kept, else null
  };
  // One for each matrix.
  std::vector<Chosen> chosen(std::span<const size_t> candidates) const;

  const std::vector<std::string>& names() const { return names_; }
  double smallest() const;  // bytes

 private:
  struct Tried {
    const FormCandidate* candidate = nullptr;
    form::FormPtr form;
    std::string expression;
    double elements = 0;
    double divergence = 0, trace = 0, outputs = 0, squared = 0;
  };

  double loss(Proxy proxy, const Tried& tried) const;

  std::span<const FormCandidate> candidates_;
  Proxy proxy_;
  bool keep_;
  std::vector<std::string> names_;
  budget::Problem problem_{.resources = {"bytes", "milliseconds"}, .parts = {}};
  std::vector<std::vector<Tried>> tried_;                        // of each part
  mutable std::map<std::string, double, std::less<>> gaussian_;  // errors of expressions
};

}  // namespace pith::weights
