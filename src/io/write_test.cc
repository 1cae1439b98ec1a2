#include "pith/io/write.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "pith/io/names.h"
#include "testing_samples.h"
#include "zip.h"

namespace pith::io {
namespace {

using namespace testing;

uint64_t size_of(const TensorInfo& tensor) {
  return tensor_bytes(tensor.dtype, tensor.shape).value();
}

TEST(WriteSafetensors, GivesTheLibrarysBytes) {
  // From the tests of the safetensors library.
  EXPECT_EQ(safetensors_header({}), bytes_of(std::string_view("\x08\0\0\0\0\0\0\0{}      ", 16)));
  const std::vector<TensorInfo> one = {{"attn0", DType::kF32, {1, 1, 2, 3}}};
  const std::string json =
      R"({"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       )";
  EXPECT_EQ(safetensors_header(one), safetensors_file(json, {}));
  const std::string metadata = R"({"__metadata__":{"framework":"pt"}}     )";
  EXPECT_EQ(safetensors_header({}, {{"framework", "pt"}}), safetensors_file(metadata, {}));
}

TEST(WriteSafetensors, SortsByTypeThenName) {
  const std::vector<TensorInfo> tensors = {{"b", DType::kF32, {}},  {"a", DType::kF32, {}},
                                           {"c", DType::kU8, {}},   {"d", DType::kI64, {}},
                                           {"e", DType::kBF16, {}}, {"f", DType::kF16, {}}};
  EXPECT_EQ(safetensors_order(tensors), (std::vector<size_t>{3, 1, 0, 4, 5, 2}));
}

TEST(WriteSafetensors, RefusesWhatTheFormatCannotHold) {
  const auto header = [](std::vector<TensorInfo> tensors) { return safetensors_header(tensors); };
  EXPECT_THROW(header({{"a", DType::kQ4_0, {32}}}), Error);
  EXPECT_THROW(header({{"a", DType::kU8, {1}}, {"a", DType::kU8, {1}}}), Error);
  EXPECT_THROW(header({{"__metadata__", DType::kU8, {1}}}), Error);
  EXPECT_THROW(header({{"a\xff", DType::kU8, {1}}}), Error);
  EXPECT_THROW(header({{"a", DType::kF4, {1}}}), Error);
}

// Any tensors, written and described again.
std::vector<TensorInfo> random_tensors(std::string_view (*name_of)(DType)) {
  std::vector<DType> types;
  for (const DTypeInfo& type : all_dtypes()) {
    if (!name_of(type.dtype).empty()) types.push_back(type.dtype);
  }
  const auto count = *rc::gen::inRange<size_t>(0, 6);
  std::vector<TensorInfo> tensors;
  for (size_t k = 0; k < count; ++k) {
    TensorInfo tensor{std::to_string(k) + *rc::gen::arbitrary<std::string>(),
                      *rc::gen::elementOf(types),
                      *rc::gen::container<std::vector<uint64_t>>(rc::gen::inRange<uint64_t>(0, 5))};
    if (tensor.shape.size() > 8) tensor.shape.resize(8);
    std::erase_if(tensor.name, [](char c) { return c < 0x20 || c == 0x7F; });
    tensor.shape.push_back(info(tensor.dtype).block_elements);
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

void expect_same(const TensorRegion& region, const TensorInfo& tensor) {
  RC_ASSERT(region.name == tensor.name);
  RC_ASSERT(region.dtype == tensor.dtype);
  RC_ASSERT(region.shape == tensor.shape);
}

RC_GTEST_PROP(WriteSafetensors, IsReadBack, ()) {
  const auto tensors = random_tensors(safetensors_name);
  const Metadata metadata = {{"k", "v\n\"\\ü"}};
  Bytes file = safetensors_header(tensors, metadata);
  RC_ASSERT(file.size() % 8 == 0);
  uint64_t data = 0;
  for (const TensorInfo& tensor : tensors) data += size_of(tensor);
  file.resize(file.size() + data);
  const Layout layout = describe(file, "x").layout;
  RC_ASSERT(layout.notes.empty());
  RC_ASSERT(layout.metadata == metadata);
  RC_ASSERT(layout.tensors.size() == tensors.size());
  // Empty tensors may change places with what begins where they are.
  std::map<std::string, TensorRegion> by_name;
  for (const TensorRegion& region : layout.tensors) by_name[region.name] = region;
  for (const TensorInfo& tensor : tensors) expect_same(by_name.at(tensor.name), tensor);
}

RC_GTEST_PROP(WriteGguf, IsReadBack, ()) {
  const auto tensors =
      random_tensors([](DType type) { return std::string_view(gguf_type(type) ? "known" : ""); });
  const uint32_t alignment = 8u << *rc::gen::inRange(0, 6);
  Bytes file =
      gguf_header({{"a", int64_t{-5}}, {"b", std::vector<int32_t>{1, 2}}}, tensors, alignment);
  RC_ASSERT(file.size() % alignment == 0);
  for (const TensorInfo& tensor : tensors) {
    file.resize((file.size() + size_of(tensor) + alignment - 1) / alignment * alignment);
  }
  const Layout layout = describe(file, "x").layout;
  RC_ASSERT(layout.format == "gguf");
  RC_ASSERT(layout.tensors.size() == tensors.size());
  RC_ASSERT(layout.metadata[0].second == "-5");
  std::map<std::string, TensorRegion> by_name;
  for (const TensorRegion& region : layout.tensors) by_name[region.name] = region;
  for (const TensorInfo& tensor : tensors) expect_same(by_name.at(tensor.name), tensor);
}

TEST(WriteGguf, RefusesWhatTheFormatCannotHold) {
  const auto header = [](std::vector<TensorInfo> tensors, uint32_t alignment = 32) {
    return gguf_header({}, tensors, alignment);
  };
  EXPECT_THROW(header({{"a", DType::kU8, {4}}}), Error);
  EXPECT_THROW(header({{"a", DType::kQ4_0, {2, 16}}}), Error);
  EXPECT_THROW(header({{"a", DType::kF32, {2}}, {"a", DType::kF32, {2}}}), Error);
  EXPECT_THROW(header({}, 0), Error);
  EXPECT_THROW(header({}, 48), Error);
}

TEST(WriteNpy, GivesNumPysBytes) {
  // numpy.save of version 1.24, up to the data.
  const std::string padding(128 - 10 - 59 - 20 - 1, ' ');
  const std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" +
                           std::string(20, ' ') + padding + "\n";
  EXPECT_EQ(npy_header(DType::kF32, std::vector<uint64_t>{2, 3}), npy_file(text, {}));
}

TEST(WriteNpy, IsReadBack) {
  for (const DTypeInfo& type : all_dtypes()) {
    if (numpy_descr(type.dtype).empty()) {
      EXPECT_THROW(npy_header(type.dtype, {}), Error);
      continue;
    }
    for (const std::vector<uint64_t>& shape :
         {std::vector<uint64_t>{}, {3}, {0, 2}, {1, 2, 3, 4, 5, 6, 7, 8}}) {
      Bytes file = npy_header(type.dtype, shape);
      EXPECT_EQ(file.size() % 64, 0u);
      file.resize(file.size() + tensor_bytes(type.dtype, shape).value());
      const Layout layout = describe(file, "x.npy").layout;
      if (type.block_bytes == 1 && numpy_descr(type.dtype) == "|V1") continue;
      ASSERT_EQ(layout.tensors.size(), 1u) << type.name;
      EXPECT_EQ(layout.tensors[0].dtype, type.dtype);
      EXPECT_EQ(layout.tensors[0].shape, shape);
    }
  }
}

TEST(WriteNpy, LongHeadersUseVersionTwo) {
  Bytes file = npy_header(DType::kU8, std::vector<uint64_t>(30'000, 1));
  EXPECT_EQ(file[6], 2);
  EXPECT_EQ(file.size() % 64, 0u);
}

TEST(WriteNpz, IsReadBack) {
  const Bytes file = sample_npz();
  const Layout layout = describe(file, "x.npz").layout;
  ASSERT_EQ(layout.tensors.size(), 2u);
  EXPECT_EQ(layout.tensors[0].name, "x");
  EXPECT_EQ(layout.tensors[1].name, "y");
  for (const TensorRegion& region : layout.tensors) EXPECT_EQ(file[region.offset + 4], 4);
}

TEST(WriteNpz, RefusesDataOfAnotherSize) {
  NpzWriter npz([](ByteView) {});
  EXPECT_THROW(npz.add("a", DType::kF32, std::vector<uint64_t>{2}, counting(7)), Error);
}

TEST(WriteNpz, ManyMembersNeedZip64) {
  Bytes file;
  NpzWriter npz([&](ByteView bytes) { append(file, bytes); });
  const Bytes one = counting(1);
  for (int k = 0; k < 66'000; ++k) {
    npz.add(std::to_string(k), DType::kU8, std::vector<uint64_t>{1}, one);
  }
  npz.finish();
  EXPECT_EQ(zip_members(file).size(), 66'000u);
}

}  // namespace
}  // namespace pith::io
