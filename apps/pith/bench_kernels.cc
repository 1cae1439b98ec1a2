#include <unistd.h>

#include <filesystem>

#include "bench.h"
#include "pith/base/error.h"

namespace pith::bench {

void bench_kernels(const std::vector<std::string>& arguments) {
  const auto program =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "entropy_bench";
  std::vector<std::string> words = {program.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  fail(ErrorKind::kUsage, "{}: not there; build everything (PITH_BENCH=ON)", program.string());
}

}  // namespace pith::bench
