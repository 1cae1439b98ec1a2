#include "bench_weights_ours.h"

#include <algorithm>
#include <map>

#include "pith/archive/writer.h"
#include "pith/base/file.h"
#include "pith/fit/expression_fitter.h"
#include "pith/io/text.h"
#include "pith/recipe/registry.h"
#include "pith/weights/compress_model.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBits = "$bits";

std::string first_word(const std::string& expression) {
  return expression.substr(0, expression.find_first_of("( "));
}

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

// What `pith compress` does with limits or candidates, calibrated on the text.
class Fitted : public WeightMethod {
 public:
  // Without candidates, and with several to choose from, at every size; one makes one file.
  struct Choice {
    std::string name;  // of the file
    recipe::Plan plan;
  };
  Fitted(std::string name, WeightInputs inputs, std::vector<Choice> choices)
      : name_(std::move(name)), inputs_(std::move(inputs)), choices_(std::move(choices)) {}

  std::string name() const override { return name_; }

  std::vector<MadeFile> make(const std::vector<double>& sizes, uint64_t /*weights*/,
                             const fs::path& folder) const override {
    const model::LanguageModel model = model::load_model(inputs_.model);
    const MappedFile text(inputs_.calibration);
    std::vector<MadeFile> files;
    for (const Choice& choice : choices_) {
      weights::ModelCompressor compressor(model, stored(), io::as_text(text.bytes()),
                                          recipe::model_options(choice.plan));
      const auto add = [&](const std::string& name, const weights::Limits& limits) {
        const fs::path file = folder / fmt::format("{}.pith", files.size());
        archive::WriteOptions write{.overwrite = true};
        compressor.store(compressor.compress(limits), write);
        archive::write_archive(stored(), file, write);
        files.push_back({name, file});
      };
      if (choice.plan.candidates.size() == 1) {
        add(choice.name, {});
        continue;
      }
      for (const double size : sizes) {
        try {
          add(fmt::format("{} {:.1f}", choice.name, size), {.bits = size});
        } catch (const Error& e) {
          if (e.kind() != ErrorKind::kLimit) throw;
        }
      }
    }
    return files;
  }

 private:
  std::vector<archive::Input> stored() const {
    return archive::expand_inputs(std::span(&inputs_.bare, 1));
  }

  std::string name_;
  WeightInputs inputs_;
  std::vector<Choice> choices_;
};

// "NAME" or "NAME:key=value,key=value".
Fitted::Choice choice_of(const std::string& text, std::string& name) {
  const size_t colon = std::min(text.find(':'), text.size());
  const recipe::Recipe& found = recipe::find_recipe(text.substr(0, colon));
  name = found.name;
  recipe::Values values;
  for (size_t at = colon; at < text.size();) {
    const size_t end = std::min(text.find(',', at + 1), text.size());
    recipe::add_value(values, text.substr(at + 1, end - at - 1));
    at = end;
  }
  recipe::Plan plan;
  recipe::apply(found, std::move(values), plan);
  if (plan.candidates.empty()) {
    fail(ErrorKind::kUsage, "--recipe {}: it is not one for the matrices of a model", text);
  }
  return {text, std::move(plan)};
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
      std::make_unique<Fitted>("pith", inputs, std::vector<Fitted::Choice>{{"pith", {}}}));
  std::map<std::string, std::vector<Fitted::Choice>> fitted;
  for (const std::string& r : options.recipes) {
    std::string name;
    Fitted::Choice choice = choice_of(r, name);
    fitted[name].push_back(std::move(choice));
  }
  for (const std::string& text : options.fitted) {
    const form::Expression e = form::parse(text);
    recipe::Plan plan;
    plan.candidates = {{form::to_string(e), fit::expression_fitter(e)}};
    fitted[first_word(text) + ", fitted"].push_back({text, std::move(plan)});
  }
  for (auto& [name, choices] : fitted) {
    methods.push_back(std::make_unique<Fitted>(name, inputs, std::move(choices)));
  }
  std::map<std::string, std::vector<std::string>> lines;
  for (const std::string& e : options.forms) {
    if (e.find(kBits) != e.npos) {
      methods.push_back(std::make_unique<FormAtSizes>(e, model, e));
    } else {
      lines[first_word(e)].push_back(e);
    }
  }
  for (auto& [name, expressions] : lines) {
    methods.push_back(std::make_unique<Forms>(name, model, std::move(expressions)));
  }
  return methods;
}

}  // namespace pith::bench
