#include "pith/kv/chunk.h"

#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "testing_chunks.h"

namespace pith::kv {
namespace {

using namespace testing;

TEST(Chunk, ComesBack) {
  const auto ids = some_ids(40);
  const ChunkMaker maker = some_maker();
  const auto chain_ids = chain(maker, ids, 10);
  ASSERT_EQ(chain_ids.size(), 4);
  Hash128 before = chain_root(maker);
  for (uint64_t c = 0; c < 4; ++c) {
    const auto part = std::span(ids).subspan(c * 10, 10);
    const Arrays arrays = some_arrays(10, c * 10);
    const Bytes bytes = write_chunk(maker, plain_coding(), before, part, arrays);
    EXPECT_EQ(read_arrays(bytes, chain_ids[c]), arrays);
    const ChunkHeader header = read_chunk(bytes).header;
    EXPECT_EQ(header.maker, maker);
    EXPECT_EQ(header.id, chain_ids[c]);
    EXPECT_EQ(header.before, before);
    EXPECT_EQ(header.first, c * 10);
    EXPECT_EQ(header.ids, std::vector<int32_t>(part.begin(), part.end()));
    EXPECT_EQ(header.numbers, 2 * arrays.size());
    before = chain_ids[c];
  }
}

TEST(Chunk, TextsThatBeginAlikeShareTheirBeginnings) {
  auto ids = some_ids(35);
  const auto a = chain(some_maker(), ids, 10);
  ids[25] += 1;
  const auto b = chain(some_maker(), ids, 10);
  ASSERT_EQ(a.size(), 3);
  EXPECT_EQ(a[1], b[1]);
  EXPECT_NE(a[2], b[2]);
  ids[0] += 1;
  EXPECT_NE(chain(some_maker(), ids, 10)[1], b[1]);  // of other tokens before it
  EXPECT_TRUE(chain(some_maker(), std::span(ids).first(9), 10).empty());
  EXPECT_TRUE(chain(some_maker(), {}, 10).empty());
}

TEST(Chunk, OtherModelsCodingsAndCachesHaveOtherChunks) {
  const auto ids = some_ids(10);
  ChunkMaker coding = some_maker(), cache = some_maker();
  coding.coding = "uniform(4)";
  cache.cache = cache.coding;
  cache.coding.clear();
  const Hash128 id = chain(some_maker(), ids, 10)[0];
  EXPECT_NE(chain(some_maker(2), ids, 10)[0], id);
  EXPECT_NE(chain(coding, ids, 10)[0], id);
  EXPECT_NE(chain(cache, ids, 10)[0], id);
}

TEST(Chunk, WhatIsForeignIsRefused) {
  const auto ids = some_ids(10);
  const Bytes bytes = some_chunk(ids);
  EXPECT_NO_THROW(read_arrays(bytes, chain(some_maker(), ids, 10)[0]));
  EXPECT_THROW(read_arrays(bytes, chain(some_maker(2), ids, 10)[0]), Error);
  EXPECT_THROW(read_arrays(bytes, chain(some_maker(), some_ids(11), 11)[0]), Error);
}

TEST(Chunk, WhatIsDamagedIsRefused) {
  const auto ids = some_ids(3);
  const Hash128 id = chain(some_maker(), ids, 3)[0];
  const Bytes bytes = some_chunk(ids);
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_THROW(read_arrays(ByteView(bytes).first(n), id), Error) << n;
    Bytes flipped = bytes;
    flipped[n] ^= 0x10;
    EXPECT_THROW(read_arrays(flipped, id), Error) << n;
  }
  Bytes longer = bytes;
  longer.push_back(0);
  EXPECT_THROW(read_arrays(longer, id), Error);
}

// One whose checksums are right, of keys and values that are not of its tokens.
TEST(Chunk, IsReadWhileItArrives) {
  const auto ids = some_ids(300);
  const Arrays arrays = some_arrays(300);
  for (const char* coding : {"stream(level=2)", "uniform(4, group=20)"}) {
    ChunkMaker maker = some_maker();
    maker.coding = coding;
    const Bytes whole =
        write_chunk(maker, ChunkCoding::parse(coding), chain_root(maker), ids, arrays);
    const Hash128 id = chain(maker, ids, 300)[0];
    const auto in_pieces = [&](const Bytes& bytes, size_t piece) {
      ChunkReader reader(id);
      for (size_t at = 0; at < bytes.size(); at += piece)
        reader.arrived(ByteView(bytes).first(std::min(bytes.size(), at + piece)));
      return reader.read(bytes);
    };
    const Arrays expected = read_arrays(whole, id);
    for (const size_t piece : {7UL, 2000UL, 5000UL, whole.size()})
      EXPECT_EQ(in_pieces(whole, piece), expected) << piece;
    for (size_t at = 0; at < whole.size(); at += 97) {
      Bytes damaged = whole;
      damaged[at] ^= 4;
      EXPECT_THROW(in_pieces(damaged, 2000), Error) << at;
    }
    Bytes cut = whole;
    cut.resize(cut.size() - 100);
    EXPECT_THROW(in_pieces(cut, 2000), Error);
  }
}

TEST(Chunk, KeysOfOtherTokensAreRefused) {
  const auto ids = some_ids(10);
  const ChunkMaker maker = some_maker();
  const Hash128 root = chain_root(maker), id = chain(maker, ids, 10)[0];
  EXPECT_THROW(read_arrays(write_chunk(maker, plain_coding(), root, ids, some_arrays(9)), id),
               Error);
  EXPECT_THROW(read_arrays(write_chunk(maker, plain_coding(), id, ids, some_arrays(10)),
                           chain_next(id, ids)),
               Error);
}

}  // namespace
}  // namespace pith::kv
