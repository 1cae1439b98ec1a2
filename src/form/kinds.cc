#include "kinds.h"

#include <array>

#include "basis.h"
#include "blockdiag.h"
#include "codebook.h"
#include "coders.h"
#include "constant.h"
#include "dense.h"
#include "exponent.h"
#include "ggml.h"
#include "integer.h"
#include "lattice.h"
#include "permutation.h"
#include "pith/form/named.h"
#include "product.h"
#include "ref.h"
#include "repeated.h"
#include "sparse.h"
#include "sum.h"
#include "tiles.h"
#include "transform_form.h"
#include "transpose.h"
#include "trellis.h"
#include "uniform.h"

namespace pith::form {
namespace {

constexpr std::array kKinds = {
    Kind{"dense", DenseForm::read, DenseForm::encode},
    Kind{"uniform", UniformForm::read, UniformForm::encode},
    Kind{"integer", IntegerForm::read, IntegerForm::refuse},
    Kind{"codebook", CodebookForm::read, CodebookForm::encode},
    Kind{"lattice", read_lattice, encode_lattice},
    Kind{"trellis", TrellisForm::read, TrellisForm::encode},
    Kind{"sparse", SparseForm::read, SparseForm::encode},
    Kind{"lowrank", ProductForm::read_lowrank, ProductForm::encode_lowrank},
    Kind{"blockdiag", BlockDiagForm::read, BlockDiagForm::encode},
    Kind{"repeated", RepeatedForm::read, RepeatedForm::encode},
    Kind{"permutation", PermutationForm::read, PermutationForm::encode},
    Kind{"dct", TransformForm::read_dct, TransformForm::encode},
    Kind{"wavelet", TransformForm::read_wavelet, TransformForm::encode},
    Kind{"constant", ConstantForm::read, ConstantForm::encode},
    Kind{"zeros", ConstantForm::read, ConstantForm::encode_zeros},
    Kind{"transpose", TransposeForm::read, TransposeForm::encode},
    Kind{"ref", RefForm::read, RefForm::encode},
    Kind{"tiles", TilesForm::read, TilesForm::encode},
    Kind{"ggml", GgmlForm::read, GgmlForm::encode},
    Kind{"sum", SumForm::read, nullptr},
    Kind{"product", ProductForm::read, nullptr},
    Kind{"basis", BasisForm::read, nullptr},
    Kind{"exponent", ExponentForm::read, nullptr},
};

}  // namespace

const Kind* find_kind(std::string_view name) { return find_named(kKinds, name); }

FormPtr encode(const Expression& expression, MatrixView matrix) {
  const auto refuse = [&](std::string_view why) {
    return expression.place().error(ErrorKind::kUsage, why);
  };
  switch (expression.kind()) {
    case Expression::Kind::kSum:
      return SumForm::encode(expression, matrix);
    case Expression::Kind::kBasis:
      return BasisForm::encode(expression, matrix);
    case Expression::Kind::kVariable:
      throw refuse(fmt::format("${} stands for nothing here", expression.name()));
    case Expression::Kind::kProduct:
      return ProductForm::encode(expression, matrix);
    case Expression::Kind::kCoder:
      return encode_coded(expression, matrix);
    default:
      break;
  }
  const Kind* kind = find_kind(expression.name());
  if (!kind || !kind->encode) {
    const auto written = [](const Kind& k) { return k.encode != nullptr; };
    throw refuse(fmt::format("no form is called `{}`; there are {}", expression.name(),
                             names_of(kKinds, written)));
  }
  return kind->encode(expression, matrix);
}

}  // namespace pith::form
