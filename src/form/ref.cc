#include "ref.h"

#include "pith/form/arguments.h"
#include "storage.h"

namespace pith::form {
namespace {

thread_local const Resolver* current = nullptr;
// Resolvers that are at work: one that reads forms as they are asked for could go in a circle.
thread_local int resolving = 0;

struct Level {
  Level() { ++resolving; }
  ~Level() { --resolving; }
};

// The reason why there is none, else empty.
std::string resolve(const std::string& name, Shape shape, FormPtr& target) {
  if (!current || !*current) {
    return fmt::format("ref(\"{}\") needs the tensors that it is among", name);
  }
  if (resolving == kMostNested) {
    return fmt::format("ref(\"{}\") stands for forms that refer on and on", name);
  }
  const Level level;
  target = (*current)(name);
  if (!target) return fmt::format("there is no tensor \"{}\" to refer to", name);
  if (target->shape() == shape) return "";
  return fmt::format("\"{}\" is {} x {}, what refers to it {} x {}", name, target->shape().rows,
                     target->shape().cols, shape.rows, shape.cols);
}

}  // namespace

ResolverScope::ResolverScope(const Resolver& resolver) : before_(current) { current = &resolver; }
ResolverScope::~ResolverScope() { current = before_; }

RefForm::RefForm(std::string name, FormPtr target)
    : Form(target->shape()), name_(std::move(name)), target_(std::move(target)) {}

Expression RefForm::expression() const { return Expression::call("ref", {{"", Value(name_)}}); }

void RefForm::decode(uint64_t first, uint64_t last, float* out) const {
  target_->decode(first, last, out);
}

void RefForm::prepare(Activations& x) const { target_->prepare(x); }

void RefForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                       uint64_t stride) const {
  target_->multiply(x, first, last, out, stride);
}

void RefForm::write_body(BodyWriter& to) const { to.string(name_); }

FormPtr RefForm::read(Shape shape, BodyReader& in) {
  const std::string name = in.string();
  try {
    Expression::call("ref", {{"", Value(name)}});
  } catch (const Error&) {
    in.bad("a name that is no text");
  }
  FormPtr target;
  const std::string why = resolve(name, shape, target);
  if (!why.empty()) in.bad(why);
  return std::make_shared<RefForm>(name, std::move(target));
}

FormPtr RefForm::encode(const Expression& call, MatrixView matrix) {
  const Arguments args(call, {"name"});
  const std::string name = args.text("name");
  FormPtr target;
  const std::string why = resolve(name, matrix.shape, target);
  if (!why.empty()) throw args.find("name")->place().error(ErrorKind::kUsage, why);
  return std::make_shared<RefForm>(name, std::move(target));
}

}  // namespace pith::form
