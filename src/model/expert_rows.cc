#include "expert_rows.h"

#include "pith/base/error.h"

namespace pith::model {
namespace {

class ExpertRows final : public form::Form {
 public:
  ExpertRows(form::FormPtr all, uint64_t first, uint64_t last)
      : Form({last - first, all->shape().cols}), all_(std::move(all)), first_(first) {}

  form::Expression expression() const override { return all_->expression(); }
  void decode(uint64_t first, uint64_t last, float* out) const override {
    all_->decode(first_ + first, first_ + last, out);
  }
  void prepare(form::Activations& x) const override { all_->prepare(x); }
  void multiply(const form::Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override {
    all_->multiply(x, first_ + first, first_ + last, out, stride);
  }
  std::string_view kind() const override { return "rows"; }
  const form::Form& all() const { return *all_; }
  // The whole tensor is what is stored.
  void write_body(form::BodyWriter&) const override {
    fail(ErrorKind::kUsage, "one expert's rows of a form are not written");
  }

 private:
  form::FormPtr all_;
  uint64_t first_;
};

}  // namespace

form::FormPtr expert_rows(form::FormPtr all, uint64_t first, uint64_t last) {
  return std::make_shared<ExpertRows>(std::move(all), first, last);
}

const form::Form& whole_of(const form::Form& form) {
  const auto* rows = dynamic_cast<const ExpertRows*>(&form);
  return rows ? rows->all() : form;
}

}  // namespace pith::model
