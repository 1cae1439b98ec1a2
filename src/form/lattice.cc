#include "lattice.h"

#include "e8_form.h"
#include "pith/form/arguments.h"
#include "pyramid_form.h"

namespace pith::form {

ScaleGroups lattice_scales(const Arguments& args) {
  const ScaleGroups g = ScaleGroups::of(args, kLatticeScales);
  if (g.length == ScaleGroups::kNone)
    throw args.wrong("group", "a number of elements, `row` or `tensor`");
  return g;
}

ScaleGroups read_lattice_scales(BodyReader& in) {
  const ScaleGroups g = ScaleGroups::read(in);
  if (g.length == ScaleGroups::kNone) in.bad("a lattice without scales");
  return g;
}

FormPtr read_lattice(Shape shape, BodyReader& in) {
  return in.varint(kStoredE8, kStoredPyramid, "lattice") == kStoredE8
             ? E8Form::read(shape, in)
             : PyramidForm::read(shape, in);
}

FormPtr encode_lattice(const Expression& call, MatrixView matrix) {
  const Value* kind = call.argument(0);
  if (!kind) kind = call.argument("kind");
  const auto* name = kind ? kind->get_if<Expression>() : nullptr;
  if (name && name->is_name() && name->name() == "pyramid")
    return PyramidForm::encode(call, matrix);
  return E8Form::encode(call, matrix);
}

}  // namespace pith::form
