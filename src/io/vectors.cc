// fvecs, bvecs and ivecs: vectors that each begin with their dimension as an int32. The format has
// no magic, so that the file must have the extension and be consistent throughout.
#include "layout_builder.h"
#include "readers.h"

namespace pith::io {
namespace {

constexpr int32_t kMaxDimension = 1'000'000;  // what FAISS' reader allows

struct Kind {
  DType dtype;
  uint64_t element_bytes;
  uint64_t columns_before;  // that the dimension takes, in elements
};

const Kind* kind_of(const std::filesystem::path& name) {
  static constexpr Kind kFloat{DType::kF32, 4, 1}, kByte{DType::kU8, 1, 4}, kInt{DType::kI32, 4, 1};
  const auto extension = name.extension();
  return extension == ".fvecs"   ? &kFloat
         : extension == ".bvecs" ? &kByte
         : extension == ".ivecs" ? &kInt
                                 : nullptr;
}

}  // namespace

bool looks_like_vectors(ByteView file, const std::filesystem::path& name) {
  return kind_of(name) && file.size() >= 4;
}

Description read_vectors(ByteView file, const std::filesystem::path& name) {
  const Kind& kind = *kind_of(name);
  const auto dimension = load_le<int32_t>(file.data());
  if (dimension < 1 || dimension > kMaxDimension) {
    fail(ErrorKind::kData, "{}: a dimension of {} is not possible", name.extension().string(),
         dimension);
  }
  const uint64_t columns = kind.columns_before + static_cast<uint64_t>(dimension);
  const uint64_t record = columns * kind.element_bytes;
  if (file.size() % record != 0) {
    fail(ErrorKind::kData, "{}: the size is no multiple of {}-dimensional vectors",
         name.extension().string(), dimension);
  }
  for (uint64_t at = 0; at < file.size(); at += record) {
    if (load_le<int32_t>(&file[at]) != dimension) {
      fail(ErrorKind::kData, "{}: the vector at byte {} has another dimension",
           name.extension().string(), at);
    }
  }
  LayoutBuilder layout(name.extension().string().substr(1), file.size(),
                       LayoutBuilder::Broken::kRefuse);
  layout.add({"vectors", kind.dtype, {file.size() / record, columns}, 0, 0, false});
  layout.note(kind.columns_before == 1
                  ? "column 0 of each vector holds its dimension as an int32"
                  : "columns 0 to 3 of each vector hold its dimension as an int32");
  layout.metadata("dimension", std::to_string(dimension));
  return {layout.finish(), {}, {}};
}

}  // namespace pith::io
