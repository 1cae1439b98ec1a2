#include <gtest/gtest.h>

#include "pickle.h"
#include "testing_samples.h"

namespace pith::io {
namespace {

using namespace testing;

Description checkpoint(Bytes pickle, std::string_view order = "little", uint16_t method = 0) {
  const Bytes file = zip_file({{"m/data.pkl", std::move(pickle), method},
                               {"m/byteorder", bytes_of(order)},
                               {"m/data/0", counting(24), 0, 30},
                               {"m/data/1", counting(8), 0, 3},
                               {"m/version", bytes_of("3\n")}});
  Description description = describe(file, "m.pt");
  EXPECT_EQ(broken_promise(description, file.size()), "");
  for (const TensorRegion& region : description.layout.tensors) {
    EXPECT_EQ(file[region.offset], 0) << region.name;
    EXPECT_EQ(file[region.offset + 7], 7) << region.name;
  }
  return description;
}

// A dictionary that holds one named tensor of storage 0.
Layout one_tensor(std::string_view type, int32_t offset, const std::vector<int32_t>& shape,
                  const std::vector<int32_t>& strides) {
  PickleWriter pickle;
  pickle.raw("}").text("w").tensor(type, "0", offset, shape, strides).raw("s");
  return checkpoint(pickle.done()).layout;
}

void expect_region(const TensorRegion& region, std::string_view name, DType dtype,
                   const std::vector<uint64_t>& shape) {
  EXPECT_EQ(region.name, name);
  EXPECT_EQ(region.dtype, dtype);
  EXPECT_EQ(region.shape, shape);
}

TEST(Pytorch, NamesAWholeStorageAfterItsTensor) {
  expect_region(one_tensor("FloatStorage", 0, {2, 3}, {3, 1}).tensors.at(0), "w", DType::kF32,
                {2, 3});
  expect_region(one_tensor("BFloat16Storage", 0, {2, 1, 6}, {6, 99, 1}).tensors.at(0), "w",
                DType::kBF16, {2, 1, 6});
  expect_region(one_tensor("LongStorage", 0, {3}, {1}).tensors.at(0), "w", DType::kI64, {3});
  const Layout layout = one_tensor("FloatStorage", 0, {2, 3}, {3, 1});
  EXPECT_EQ(layout.format, "pytorch");
  expect_region(layout.tensors.at(1), "data/1", DType::kBytes, {8});
}

TEST(Pytorch, GivesOtherStoragesOneDimension) {
  // Partial, transposed, expanded, shifted.
  expect_region(one_tensor("FloatStorage", 0, {2, 2}, {2, 1}).tensors.at(0), "data/0", DType::kF32,
                {6});
  expect_region(one_tensor("FloatStorage", 0, {2, 3}, {1, 2}).tensors.at(0), "data/0", DType::kF32,
                {6});
  expect_region(one_tensor("FloatStorage", 0, {6, 6}, {0, 1}).tensors.at(0), "data/0", DType::kF32,
                {6});
  expect_region(one_tensor("FloatStorage", 1, {5}, {1}).tensors.at(0), "data/0", DType::kF32, {6});
  expect_region(one_tensor("FloatStorage", 0, {-1, 3}, {3, 1}).tensors.at(0), "data/0", DType::kF32,
                {6});
  expect_region(one_tensor("StrangeStorage", 0, {2, 3}, {3, 1}).tensors.at(0), "data/0",
                DType::kBytes, {24});
}

TEST(Pytorch, SharedStorages) {
  PickleWriter tied;
  tied.raw("}(").text("a").tensor("FloatStorage", "0", 0, {2, 3}, {3, 1});
  tied.text("b").tensor("FloatStorage", "0", 0, {2, 3}, {3, 1}).raw("u");
  expect_region(checkpoint(tied.done()).layout.tensors.at(0), "a", DType::kF32, {2, 3});
  PickleWriter split;
  split.raw("}(").text("a").tensor("FloatStorage", "0", 0, {2, 3}, {3, 1});
  split.text("b").tensor("FloatStorage", "0", 3, {3}, {1}).raw("u");
  expect_region(checkpoint(split.done()).layout.tensors.at(0), "data/0", DType::kF32, {6});
  PickleWriter retyped;
  retyped.raw("}(").text("a").tensor("FloatStorage", "0", 0, {2, 3}, {3, 1});
  retyped.text("b").tensor("IntStorage", "0", 0, {2, 3}, {3, 1}).raw("u");
  expect_region(checkpoint(retyped.done()).layout.tensors.at(0), "data/0", DType::kBytes, {24});
}

TEST(Pytorch, SpellsThePathToATensor) {
  PickleWriter pickle;
  pickle.raw("}").text("model").raw("}(").text("_parameters").raw("}");
  // A parameter in a module, which is an object with a state.
  pickle.text("w").global("torch._utils", "_rebuild_parameter").raw("(");
  pickle.tensor("FloatStorage", "0", 0, {6}, {1}).raw("\x88").raw("}tR").raw("s");
  pickle.text("list")
      .raw("]")
      .raw("K\x07")
      .raw("a")
      .tensor("DoubleStorage", "1", 0, {}, {})
      .raw("a");
  pickle.raw("us");
  const Layout layout = checkpoint(pickle.done()).layout;
  expect_region(layout.tensors.at(0), "model.w", DType::kF32, {6});
  expect_region(layout.tensors.at(1), "model.list.1", DType::kF64, {});
}

TEST(Pytorch, ReadsUntypedStoragesWithATypeOfTheTensor) {
  PickleWriter pickle;
  pickle.raw("}").text("w").global("torch._utils", "_rebuild_tensor_v3").raw("((");
  pickle.text("storage").global("torch.storage", "UntypedStorage").text("0").text("cpu").number(24);
  pickle.raw("tQ").number(0).numbers({4, 6}).numbers({6, 1}).raw("\x89").raw("}");
  pickle.global("torch", "float8_e4m3fn").raw("tRs");
  expect_region(checkpoint(pickle.done()).layout.tensors.at(0), "w", DType::kF8E4M3, {4, 6});
}

TEST(Pytorch, BareAndSparseTensors) {
  PickleWriter bare;
  bare.tensor("FloatStorage", "0", 0, {2, 3}, {3, 1});
  expect_region(checkpoint(bare.done()).layout.tensors.at(0), "data/0", DType::kF32, {2, 3});
  PickleWriter sparse;
  sparse.raw("}").text("s").global("torch._utils", "_rebuild_sparse_tensor");
  sparse.raw("(").global("torch.serialization", "_get_layout").raw("(");
  sparse.tensor("LongStorage", "0", 0, {1, 3}, {3, 1});
  sparse.tensor("FloatStorage", "1", 0, {2}, {1}).numbers({9}).raw("ttRs");
  const Layout layout = checkpoint(sparse.done()).layout;
  expect_region(layout.tensors.at(0), "s.1.0", DType::kI64, {1, 3});
  expect_region(layout.tensors.at(1), "s.1.1", DType::kF32, {2});
}

TEST(Pytorch, ReadsTheConstantsOfTorchScript) {
  PickleWriter main, constants;
  main.raw("}").text("w").tensor("FloatStorage", "0", 0, {2}, {1}).raw("s");
  constants.tensor("IntStorage", "0", 0, {4}, {1}).raw("\x85");
  const Bytes file = zip_file({{"m/data.pkl", main.done()},
                               {"m/data/0", counting(8)},
                               {"m/constants.pkl", constants.done()},
                               {"m/constants/0", counting(16)}});
  const Layout layout = describe(file, "m.pt").layout;
  ASSERT_EQ(layout.tensors.size(), 2u);
  expect_region(layout.tensors[0], "w", DType::kF32, {2});
  expect_region(layout.tensors[1], "0", DType::kI32, {4});
}

TEST(Pytorch, RespectsTheByteOrder) {
  PickleWriter pickle;
  pickle.raw("}").text("w").tensor("FloatStorage", "0", 0, {6}, {1}).raw("s");
  const Layout layout = checkpoint(pickle.done(), "big").layout;
  EXPECT_TRUE(layout.tensors.at(0).big_endian);
  EXPECT_FALSE(layout.tensors.at(1).big_endian);
}

TEST(Pytorch, FindsStoragesWithoutThePickle) {
  for (const char* instructions :
       {"", "K", "t.", "h\x05.", "\x82\x01.", "0.", "(1R.", "s.", "X\xff\xff\xff\x7f."}) {
    const Layout layout = checkpoint(bytes_of(instructions)).layout;
    ASSERT_EQ(layout.tensors.size(), 2u) << instructions;
    expect_region(layout.tensors[0], "data/0", DType::kBytes, {24});
    EXPECT_EQ(layout.notes.size(), 1u);
  }
  EXPECT_EQ(checkpoint(bytes_of("N."), "little", 8).layout.tensors.size(), 2u);
}

TEST(Pytorch, NeverCallsWhatAPickleNames) {
  PickleWriter pickle;
  pickle.global("os", "system").raw("(").text("touch /tmp/pith-was-here").raw("tR");
  const Layout layout = checkpoint(pickle.done()).layout;
  EXPECT_EQ(layout.tensors.size(), 2u);
  EXPECT_TRUE(layout.notes.empty());
}

TEST(Pytorch, OldCheckpointsSayWhatToDo) {
  const Bytes file = bytes_of(
      std::string_view("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e\x80", 16));
  const Layout layout = describe(file, "old.pt").layout;
  EXPECT_EQ(layout.format, "bytes");
  EXPECT_NE(layout.notes.at(0).find("save it again"), std::string::npos);
}

TEST(Pickle, ReadsNumbersOfEveryWidth) {
  const auto number = [](std::string_view instructions) {
    const Pickle pickle = read_pickle(bytes_of(instructions));
    return pickle[pickle.root].number;
  };
  EXPECT_EQ(number("K\xff."), 255);
  EXPECT_EQ(number("M\x01\x02."), 513);
  EXPECT_EQ(number("J\xff\xff\xff\xff."), -1);
  EXPECT_EQ(number("I42\n."), 42);
  EXPECT_EQ(number("L-42L\n."), -42);
  EXPECT_EQ(number("\x8a\x01\x80."), -128);
  EXPECT_EQ(number("\x8a\x02\x80"
                   "A."),
            0x4180);
  EXPECT_EQ(number("\x88."), 1);
}

TEST(Pickle, ReadsProtocolFour) {
  constexpr char kInstructions[] =
      "\x80\x04\x95\0\0\0\0\0\0\0\0]\x94(\x8c\x01m\x94\x8c\x01n\x94\x93\x94h\x01h\x01"
      "e.";
  const Pickle pickle =
      read_pickle(bytes_of(std::string_view(kInstructions, sizeof kInstructions - 1)));
  const PickleNode& list = pickle[pickle.root];
  ASSERT_EQ(list.items.size(), 3u);
  EXPECT_EQ(pickle[list.items[0]].text, "m.n");
  EXPECT_EQ(list.items[1], list.items[2]);
}

TEST(Pickle, SelfReferenceAndDeepNestingEnd) {
  PickleWriter cycle;
  cycle.raw("]q").raw("\x01").raw(
      "h\x01"
      "a");
  EXPECT_EQ(checkpoint(cycle.done()).layout.notes.size(), 0u);
  PickleWriter deep;
  deep.raw(std::string(1'000'000, ']')).raw(std::string(999'999, 'a'));
  EXPECT_EQ(checkpoint(deep.done()).layout.notes.size(), 0u);
}

TEST(Pickle, RefusesBombs) {
  EXPECT_THROW(read_pickle(Bytes(5'000'000, ']')), Error);
  EXPECT_THROW(read_pickle(Bytes(5'000'000, 'N')), Error);
  EXPECT_THROW(read_pickle(Bytes(5'000'000, '(')), Error);
  Bytes memo(10'000'000, 0x94);
  memo[0] = 'N';
  EXPECT_THROW(read_pickle(memo), Error);
}

// Doubling: each list holds the one before twice, which spelled out would be 2^60 lists.
TEST(Pickle, SharedPartsAreVisitedOnce) {
  PickleWriter pickle;
  pickle.raw("]");
  for (int k = 0; k < 60; ++k)
    pickle.raw("q").raw("\x01").raw(
        "0](h\x01h\x01"
        "e");
  EXPECT_EQ(checkpoint(pickle.done()).layout.tensors.size(), 2u);
}

}  // namespace
}  // namespace pith::io
