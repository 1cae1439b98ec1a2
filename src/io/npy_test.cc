#include <gtest/gtest.h>

#include "testing_samples.h"

namespace pith::io {
namespace {

using namespace testing;

Layout npy(std::string_view dictionary, size_t data, uint8_t version = 1) {
  const Bytes file = npy_file(dictionary, counting(data), version);
  const Description description = describe(file, "array.npy");
  EXPECT_EQ(broken_promise(description, file.size()), "");
  return description.layout;
}

std::string dictionary(std::string_view descr, std::string_view shape,
                       std::string_view fortran = "False") {
  return fmt::format("{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}\n", descr, fortran,
                     shape);
}

TEST(Npy, ReadsEveryVersion) {
  for (const uint8_t version : {1, 2, 3}) {
    const Layout layout = npy(dictionary("'<f4'", "(2, 3)"), 24, version);
    ASSERT_EQ(layout.tensors.size(), 1u);
    EXPECT_EQ(layout.format, "npy");
    EXPECT_EQ(layout.tensors[0].name, "array");
    EXPECT_EQ(layout.tensors[0].dtype, DType::kF32);
    EXPECT_EQ(layout.tensors[0].shape, (std::vector<uint64_t>{2, 3}));
  }
  EXPECT_EQ(npy(dictionary("'<f4'", "(2, 3)"), 24, 4).format, "bytes");
}

TEST(Npy, ReadsByteOrdersAndShapes) {
  EXPECT_TRUE(npy(dictionary("'>i8'", "(1,)"), 8).tensors.at(0).big_endian);
  EXPECT_FALSE(npy(dictionary("'>i1'", "(8,)"), 8).tensors.at(0).big_endian);
  EXPECT_EQ(npy(dictionary("'|b1'", "(3L, 2L)"), 6).tensors.at(0).size, 6u);
  EXPECT_TRUE(npy(dictionary("\"<c8\"", "()"), 8).tensors.at(0).shape.empty());
  EXPECT_EQ(npy(dictionary("'<f2'", "(0, 3)"), 0).tensors.at(0).size, 0u);
  EXPECT_EQ(npy(dictionary("'<u2'", "(2)"), 9).tensors.at(0).size, 4u);
}

TEST(Npy, ReversesTheShapeOfFortranOrder) {
  const Layout layout = npy(dictionary("'<f4'", "(2, 3)", "True"), 24);
  EXPECT_EQ(layout.tensors.at(0).shape, (std::vector<uint64_t>{3, 2}));
  ASSERT_EQ(layout.notes.size(), 1u);
  EXPECT_NE(layout.notes[0].find("Fortran"), std::string::npos);
}

TEST(Npy, TakesTwoByteVoidAsBrainFloat) {
  const Layout layout = npy(dictionary("'<V2'", "(4,)"), 8);
  EXPECT_EQ(layout.tensors.at(0).dtype, DType::kBF16);
  EXPECT_EQ(layout.notes.size(), 1u);
}

TEST(Npy, LeavesOtherTypesAsBytes) {
  for (const char* descr : {"'<U3'", "'|O'", "'|S4'", "'<M8[ns]'", "'|V1'", "''",
                            "[('a', '<f4'), ('b]', '<i2', (2,))]"}) {
    const Layout layout = npy(dictionary(descr, "(1,)"), 16);
    EXPECT_EQ(layout.format, "npy") << descr;
    EXPECT_TRUE(layout.tensors.empty()) << descr;
    EXPECT_EQ(layout.notes.size(), 1u) << descr;
  }
}

TEST(Npy, RefusesMalformedHeaders) {
  for (const char* text :
       {"", "{", "{}", "{'descr': '<f4'}", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } x",
        "{'descr': '<f4', 'fortran_order': 1, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 9)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': [('a', 'fortran_order': False", "{'descr': '<f4, }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}"}) {
    const Layout layout = npy(text, 8);
    EXPECT_EQ(layout.format, "bytes") << text;
    EXPECT_EQ(layout.notes.size(), 1u) << text;
  }
  EXPECT_EQ(npy(dictionary("'<f4'", "(" + std::string(3000, '1') + ")"), 8).format, "bytes");
}

TEST(Npz, NamesArraysAfterTheirMembers) {
  const Bytes array = npy_file(dictionary("'<f4'", "(2,)"), counting(8));
  const Bytes file = zip_file(
      {{"w.npy", array}, {"deep/b.npy", array, 0, 5, true}, {"note.txt", bytes_of("hello")}});
  const Description description = describe(file, "x.npz");
  EXPECT_EQ(broken_promise(description, file.size()), "");
  ASSERT_EQ(description.layout.tensors.size(), 2u);
  EXPECT_EQ(description.layout.tensors[0].name, "w");
  EXPECT_EQ(description.layout.tensors[1].name, "deep/b");
  for (const TensorRegion& region : description.layout.tensors) {
    EXPECT_EQ(file[region.offset + 5], 5) << region.name;
  }
}

TEST(Npz, LeavesDeflatedAndBrokenMembersAsBytes) {
  const Bytes array = npy_file(dictionary("'<f4'", "(2,)"), counting(8));
  const Bytes file = zip_file({{"packed.npy", array, 8},
                               {"broken.npy", bytes_of("no array")},
                               {"good.npy", array},
                               {"good.npy", array}});
  const Layout layout = describe(file, "x.npz").layout;
  ASSERT_EQ(layout.tensors.size(), 2u);
  EXPECT_EQ(layout.tensors[1].name, "good#2");
  EXPECT_EQ(layout.notes.size(), 3u);
}

TEST(Zip, OtherArchivesAreBytesWithoutANote) {
  const Layout layout = describe(zip_file({{"a.txt", bytes_of("a")}}), "x.zip").layout;
  EXPECT_EQ(layout.format, "bytes");
  EXPECT_TRUE(layout.notes.empty());
}

TEST(Zip, RefusesDirectoriesThatLie) {
  const Bytes array = npy_file(dictionary("'<f4'", "(2,)"), counting(8));
  const Bytes good = zip_file({{"a.npy", array}, {"b.npy", array}});
  const size_t end = good.size() - 22;
  const auto directory = load_le<uint32_t>(&good[end + 16]);
  struct Damage {
    size_t at;
    uint32_t value;
  };
  for (const Damage damage :
       {Damage{end + 16, directory + 1}, Damage{end + 16, 0xFFFFFFF0}, Damage{end + 12, 0xFFFFFFF0},
        Damage{end + 8, 0x00030002}, Damage{directory + 42, 1}, Damage{directory + 42, 0x7FFFFFFF},
        Damage{directory + 20, 1}, Damage{0, 0x04034b51}}) {
    Bytes bad = good;
    store_le(&bad[damage.at], damage.value);
    const Layout layout = describe(bad, "x.npz").layout;
    EXPECT_EQ(layout.format, "bytes") << damage.at;
  }
  // The second entry points at the first member.
  Bytes twice = good;
  const size_t second = directory + 46 + 5;
  store_le(&twice[second + 42], uint32_t{0});
  twice[second + 46] = 'a';
  const Layout layout = describe(twice, "x.npz").layout;
  EXPECT_EQ(layout.format, "bytes");
  EXPECT_NE(layout.notes.at(0).find("overlap"), std::string::npos);
}

}  // namespace
}  // namespace pith::io
