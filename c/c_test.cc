#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <numeric>
#include <thread>

#include "frame.h"
#include "pith/archive/writer.h"
#include "pith/c/pith.h"
#include "pith/io/write.h"

namespace pith {
namespace {

const std::vector<uint64_t> kShape = {5, 300};

// An archive of one safetensors file: 'a' f32 [5, 300], counting up, and an empty 'none' u8 [0].
Bytes sample(Bytes& data) {
  std::vector<float> values(kShape[0] * kShape[1]);
  std::iota(values.begin(), values.end(), 0.0F);
  data.resize(values.size() * sizeof(float));
  std::memcpy(data.data(), values.data(), data.size());
  const std::vector<io::TensorInfo> tensors = {{"a", DType::kF32, kShape},
                                               {"none", DType::kU8, {0}}};
  Bytes file = io::safetensors_header(tensors);
  file.insert(file.end(), data.begin(), data.end());
  const std::vector<archive::Input> inputs = {
      {"model.safetensors", archive::memory_source(file, "model.safetensors")}};
  Bytes out;
  archive::write_archive(
      inputs, [&](ByteView piece) { out.insert(out.end(), piece.begin(), piece.end()); }, {});
  return out;
}

class Open : public testing::Test {
 protected:
  Open() : bytes(sample(data)) {
    EXPECT_EQ(pith_open_memory(bytes.data(), bytes.size(), nullptr, &archive), PITH_OK)
        << pith_last_error();
  }
  ~Open() override { pith_close(archive); }

  Bytes data, bytes;
  pith_archive* archive = nullptr;
};

TEST_F(Open, ListsTensors) {
  ASSERT_EQ(pith_tensor_count(archive), 2);
  size_t index = 99;
  ASSERT_EQ(pith_find(archive, "a", &index), PITH_OK);
  pith_tensor_info info = PITH_TENSOR_INFO_INIT;
  ASSERT_EQ(pith_tensor(archive, index, &info), PITH_OK);
  EXPECT_STREQ(info.name, "a");
  EXPECT_STREQ(info.file, "model.safetensors");
  EXPECT_STREQ(info.dtype_name, "f32");
  EXPECT_EQ(info.dtype, PITH_F32);
  EXPECT_EQ(info.big_endian, 0);
  EXPECT_EQ(std::vector<uint64_t>(info.shape, info.shape + info.ndim), kShape);
  EXPECT_EQ(info.nbytes, data.size());
  EXPECT_EQ(info.row_bytes, 1200);
}

TEST_F(Open, ReadsWholeTensorsAndRows) {
  size_t index = 0;
  ASSERT_EQ(pith_find(archive, "model.safetensors:a", &index), PITH_OK);
  Bytes whole(data.size());
  ASSERT_EQ(pith_read(archive, index, whole.data(), whole.size(), 0), PITH_OK);
  EXPECT_EQ(whole, data);
  Bytes rows(2 * 1200);
  ASSERT_EQ(pith_read_rows(archive, index, 1, 3, rows.data(), rows.size()), PITH_OK);
  EXPECT_TRUE(std::equal(rows.begin(), rows.end(), data.begin() + 1200));
  EXPECT_EQ(pith_read_rows(archive, index, 2, 2, nullptr, 0), PITH_OK);
  ASSERT_EQ(pith_find(archive, "none", &index), PITH_OK);
  EXPECT_EQ(pith_read(archive, index, nullptr, 0, 1), PITH_OK);
}

TEST_F(Open, RefusesWhatIsNotThere) {
  size_t index = 0;
  EXPECT_EQ(pith_find(archive, "b", &index), PITH_ERROR_USAGE);
  EXPECT_NE(std::strstr(pith_last_error(), "'b'"), nullptr) << pith_last_error();
  pith_tensor_info info = PITH_TENSOR_INFO_INIT;
  EXPECT_EQ(pith_tensor(archive, 2, &info), PITH_ERROR_USAGE);
  EXPECT_EQ(pith_tensor(archive, SIZE_MAX, &info), PITH_ERROR_USAGE);
  ASSERT_EQ(pith_find(archive, "a", &index), PITH_OK);
  Bytes buffer(data.size());
  EXPECT_EQ(pith_read(archive, index, buffer.data(), buffer.size() - 1, 1), PITH_ERROR_USAGE);
  EXPECT_EQ(pith_read_rows(archive, index, 4, 6, buffer.data(), 2400), PITH_ERROR_USAGE);
  EXPECT_EQ(pith_read_rows(archive, index, 3, 1, buffer.data(), 2400), PITH_ERROR_USAGE);
}

TEST_F(Open, SurvivesNullPointers) {
  pith_archive* none = nullptr;
  size_t index = 0;
  pith_tensor_info info = PITH_TENSOR_INFO_INIT;
  EXPECT_EQ(pith_open(nullptr, nullptr, &none), PITH_ERROR_USAGE);
  EXPECT_EQ(pith_open("x", nullptr, nullptr), PITH_ERROR_USAGE);
  EXPECT_EQ(pith_open_memory(nullptr, 5, nullptr, &none), PITH_ERROR_USAGE);
  EXPECT_EQ(pith_open_memory(nullptr, 0, nullptr, &none), PITH_ERROR_DATA);
  EXPECT_EQ(pith_tensor_count(nullptr), 0);
  EXPECT_EQ(pith_tensor(nullptr, 0, &info), PITH_ERROR_USAGE);
  EXPECT_EQ(pith_tensor(archive, 0, nullptr), PITH_ERROR_USAGE);
  EXPECT_EQ(pith_find(nullptr, "a", &index), PITH_ERROR_USAGE);
  EXPECT_EQ(pith_find(archive, nullptr, &index), PITH_ERROR_USAGE);
  EXPECT_EQ(pith_find(archive, "a", nullptr), PITH_ERROR_USAGE);
  EXPECT_EQ(pith_read(archive, 0, nullptr, data.size(), 1), PITH_ERROR_USAGE);
  EXPECT_EQ(pith_read_rows(nullptr, 0, 0, 0, nullptr, 0), PITH_ERROR_USAGE);
  EXPECT_EQ(pith_decompress(nullptr, 9, nullptr, 0, 1), PITH_ERROR_USAGE);
  EXPECT_EQ(pith_decompressed_size(nullptr, 0, nullptr), PITH_ERROR_USAGE);
  pith_close(nullptr);
}

TEST_F(Open, KnowsStructuresOfOtherSizes) {
  // An older caller's structure: nothing behind its end is written.
  pith_tensor_info info = PITH_TENSOR_INFO_INIT;
  info.size = offsetof(pith_tensor_info, dtype);
  info.nbytes = 77;
  ASSERT_EQ(pith_tensor(archive, 0, &info), PITH_OK);
  EXPECT_STREQ(info.dtype_name, "f32");
  EXPECT_EQ(info.nbytes, 77);
  info.size = 0;
  EXPECT_EQ(pith_tensor(archive, 0, &info), PITH_ERROR_USAGE);
  pith_open_options options = PITH_OPEN_OPTIONS_INIT;
  options.base_count = 1;
  pith_archive* other = nullptr;
  EXPECT_EQ(pith_open_memory(bytes.data(), bytes.size(), &options, &other), PITH_ERROR_USAGE);
}

TEST_F(Open, ErrorsBelongToTheirThread) {
  size_t index = 0;
  pith_find(archive, "missing here", &index);
  std::thread([] { EXPECT_STREQ(pith_last_error(), ""); }).join();
  EXPECT_NE(std::strstr(pith_last_error(), "missing here"), nullptr);
}

TEST_F(Open, ReportsDamage) {
  pith_archive* other = nullptr;
  for (size_t keep = 0; keep < bytes.size(); keep += 13) {
    EXPECT_EQ(pith_open_memory(bytes.data(), keep, nullptr, &other), PITH_ERROR_DATA) << keep;
    EXPECT_EQ(other, nullptr);
  }
  EXPECT_EQ(pith_open("/no/such/file.pith", nullptr, &other), PITH_ERROR_IO);
}

TEST(Frame, RoundTrips) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{1000}, size_t{frame::kBlock} + 3}) {
    Bytes raw(size), coded(pith_compress_bound(size)), back(size);
    for (size_t i = 0; i < size; ++i) raw[i] = static_cast<uint8_t>(i * i >> 9);
    size_t written = 0;
    ASSERT_EQ(pith_compress(raw.data(), size, PITH_U8, PITH_DEFAULT, 0, coded.data(), coded.size(),
                            &written),
              PITH_OK);
    uint64_t told = 1;
    ASSERT_EQ(pith_decompressed_size(coded.data(), written, &told), PITH_OK);
    EXPECT_EQ(told, size);
    ASSERT_EQ(pith_decompress(coded.data(), written, back.data(), size, 0), PITH_OK);
    EXPECT_EQ(back, raw);
    coded.resize(written);
    EXPECT_EQ(coded, frame::encode(raw, DType::kU8, lossless::Level::kDefault, 1));
  }
}

TEST(Frame, RefusesBadArguments) {
  std::array<uint8_t, 100> raw{}, out{};
  size_t written = 0;
  EXPECT_EQ(pith_compress(raw.data(), 100, 63, PITH_FAST, 1, out.data(), 100, &written),
            PITH_ERROR_USAGE);
  EXPECT_EQ(pith_compress(raw.data(), 100, 2, 9, 1, out.data(), 100, &written), PITH_ERROR_USAGE);
  EXPECT_EQ(pith_compress(raw.data(), 100, 2, PITH_FAST, 1, out.data(), 3, &written),
            PITH_ERROR_LIMIT);
  EXPECT_EQ(pith_compress_bound(SIZE_MAX), 0);
}

TEST(Frame, EveryDamageIsFound) {
  Bytes raw(3000);
  for (size_t i = 0; i < raw.size(); ++i) raw[i] = static_cast<uint8_t>(i % 7 + i / 500);
  const Bytes whole = frame::encode(raw, DType::kU8, lossless::Level::kDefault, 1);
  Bytes back(raw.size());
  for (size_t keep = 0; keep < whole.size(); ++keep) {
    EXPECT_EQ(pith_decompress(whole.data(), keep, back.data(), back.size(), 1), PITH_ERROR_DATA);
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    Bytes bad = whole;
    bad[at] ^= 0x10;
    if (pith_decompress(bad.data(), bad.size(), back.data(), back.size(), 1) == PITH_OK) {
      EXPECT_EQ(back, raw) << at;  // a bit that no decoder looks at
    }
  }
  Bytes longer = whole;
  longer.push_back(0);
  EXPECT_EQ(pith_decompress(longer.data(), longer.size(), back.data(), back.size(), 1),
            PITH_ERROR_DATA);
}

TEST(Frame, AHugeClaimCostsNothing) {
  Bytes frame = frame::encode({}, DType::kBytes, lossless::Level::kFast, 1);
  store_le<uint64_t>(frame.data() + 4, uint64_t{1} << 62);
  uint64_t size = 0;
  EXPECT_EQ(pith_decompressed_size(frame.data(), frame.size(), &size), PITH_ERROR_DATA);
}

}  // namespace
}  // namespace pith
