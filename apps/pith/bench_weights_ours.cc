#include "bench_weights_ours.h"

#include <algorithm>
#include <map>

#include "pith/archive/writer.h"
#include "pith/base/error.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBits = "$bits";

double file_bits(const fs::path& file, uint64_t weights) {
  return 8.0 * static_cast<double>(fs::file_size(file)) / static_cast<double>(weights);
}

void write_form(const fs::path& model, const std::string& expression, const fs::path& file) {
  archive::write_archive(archive::expand_inputs(std::span(&model, 1)), file,
                         {.overwrite = true, .forms = {archive::parse_form_rule(expression)}});
}

std::string with_bits(std::string expression, double bits) {
  for (size_t at = expression.find(kBits); at != expression.npos; at = expression.find(kBits)) {
    expression.replace(at, std::string_view(kBits).size(), fmt::format("{:.4f}", bits));
  }
  return expression;
}

// One expression at every size.
class FormAtSizes : public WeightMethod {
 public:
  FormAtSizes(std::string name, fs::path model, std::string expression)
      : name_(std::move(name)), model_(std::move(model)), expression_(std::move(expression)) {}

  std::string name() const override { return name_; }

  std::vector<MadeFile> make(const std::vector<double>& sizes, uint64_t weights,
                             const fs::path& folder) const override {
    std::vector<MadeFile> files;
    for (const double size : sizes) {
      const fs::path file = folder / fmt::format("{:.2f}.pith", size);
      if (fit(size, weights, file)) files.push_back({fmt::format("{:.1f}", size), file});
    }
    return files;
  }

 private:
  // What an expression makes of its bits is close to them: a few tries meet the size.
  bool fit(double size, uint64_t weights, const fs::path& file) const {
    fs::path tried = file;
    tried += ".tried";
    double bits = size - 0.02, kept = 0;
    for (int i = 0; i < 6 && size - kept > 0.005 && bits > 0; ++i) {
      write_form(model_, with_bits(expression_, bits), tried);
      const double got = file_bits(tried, weights);
      if (got <= size && got > kept) {
        kept = got;
        fs::rename(tried, file);
      }
      bits += size - got - 0.001;
    }
    fs::remove(tried);
    return kept > 0;
  }

  std::string name_;
  fs::path model_;
  std::string expression_;
};

// Expressions of given sizes.
class Forms : public WeightMethod {
 public:
  Forms(std::string name, fs::path model, std::vector<std::string> expressions)
      : name_(std::move(name)), model_(std::move(model)), expressions_(std::move(expressions)) {}

  std::string name() const override { return name_; }

  std::vector<MadeFile> make(const std::vector<double>& /*sizes*/, uint64_t /*weights*/,
                             const fs::path& folder) const override {
    std::vector<MadeFile> files;
    for (const std::string& e : expressions_) {
      files.push_back({e, folder / fmt::format("{}.pith", files.size())});
      write_form(model_, e, files.back().path);
    }
    return files;
  }

 private:
  std::string name_;
  fs::path model_;
  std::vector<std::string> expressions_;
};

}  // namespace

std::vector<std::unique_ptr<WeightMethod>> weight_methods(const Options& options,
                                                          const WeightInputs& inputs) {
  const fs::path& model = inputs.bare;
  std::vector<std::unique_ptr<WeightMethod>> methods;
  methods.push_back(
      std::make_unique<FormAtSizes>("pith", model, fmt::format("integer(bits={}) > rans", kBits)));
  std::map<std::string, std::vector<std::string>> lines;
  for (const std::string& e : options.forms) {
    if (e.find(kBits) != e.npos) {
      methods.push_back(std::make_unique<FormAtSizes>(e, model, e));
    } else {
      lines[e.substr(0, e.find_first_of("( "))].push_back(e);
    }
  }
  for (auto& [name, expressions] : lines) {
    methods.push_back(std::make_unique<Forms>(name, model, std::move(expressions)));
  }
  return methods;
}

}  // namespace pith::bench
