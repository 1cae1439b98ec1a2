// Another tensor's form, by its name: shared, or what a delta is to.
#pragma once

#include "pith/form/form.h"

namespace pith::form {

// ref("model.embed_tokens.weight"). Only the name is stored.
class RefForm final : public Form {
 public:
  RefForm(std::string name, FormPtr target);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void prepare(Activations& x) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  std::string_view kind() const override { return "ref"; }
  void write_body(BodyWriter& to) const override;

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& call, MatrixView matrix);

 private:
  std::string name_;
  FormPtr target_;
};

// Who gives this thread the forms of other tensors, as long as the scope lives.
class ResolverScope {
 public:
  explicit ResolverScope(const Resolver& resolver);
  ~ResolverScope();
  ResolverScope(const ResolverScope&) = delete;
  ResolverScope& operator=(const ResolverScope&) = delete;

 private:
  const Resolver* before_;
};

}  // namespace pith::form
