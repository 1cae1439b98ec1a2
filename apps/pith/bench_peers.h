// The compressors that people use today, in memory, on one thread.
//
// Except for zstd, which Pith links anyway, their libraries are opened at run time: neither the
// command nor its build depends on them, and one that is missing is left out of the tables.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench_measure.h"

namespace pith::bench {

struct PeerList {
  std::vector<std::unique_ptr<Codec>> codecs;
  std::vector<std::string> missing;  // a line each
};

// `quick`: without those that take minutes. `size`: of the input, for buffers and for what is too
// slow on it.
PeerList general_peers(uint64_t size, bool quick);

std::unique_ptr<Codec> zstd_codec(std::string name, int level, bool long_window, uint64_t size);
// XOR with the base, then zstd.
std::unique_ptr<Codec> xor_zstd_codec(std::string name, int level, ByteView base);

// A word of a command for the shell; what a command prints.
std::string quoted(const std::string& word);
std::string output_of(const std::string& command);

// ZipNN, through the command in $PITH_ZIPNN (tools/peer_zipnn.py says what it must print). `type`:
// bf16, fp16, fp32, fp8, int8, uint8 or bytes.
bool has_zipnn();
std::string zipnn_hint();
Measurement zipnn(const std::string& name, const std::string& type, const std::string& file,
                  const std::string& base, int runs, Clock clock);

}  // namespace pith::bench
