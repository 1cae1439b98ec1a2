// `pith bench speed`: models beside each other as they run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench_measure.h"

namespace pith::bench {

struct SpeedOptions {
  std::vector<std::string> models;  // folders, GGUF files, archives; the others beside the first
  uint64_t prompt = 512, decode = 64;
  int runs = 5;
  std::vector<int> threads = {1, 2};
  Clock clock = Clock::kWall;
  bool json = false;
};
void bench_speed(const SpeedOptions& options);

}  // namespace pith::bench
