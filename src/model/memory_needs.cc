#include "memory_needs.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <set>
#include <string>

#include "expert_rows.h"
#include "pith/base/error.h"
#include "pith/form/ggml_tensor.h"
#include "pith/kv/cache.h"

namespace pith::model {
namespace {

namespace fs = std::filesystem;

// A file of /sys without a limit says "max", or a number near the largest.
constexpr uint64_t kNoLimit = uint64_t{1} << 62;

std::optional<uint64_t> number(std::string_view text) {
  const size_t begin = text.find_first_of("0123456789");
  if (begin == std::string_view::npos) return std::nullopt;
  uint64_t value = 0;
  const auto [end, wrong] = std::from_chars(text.data() + begin, text.data() + text.size(), value);
  if (wrong != std::errc()) return std::nullopt;
  return value;
}

// The number behind a word at the beginning of a line; any line without one.
std::optional<uint64_t> number_in(const fs::path& file, std::string_view word = {}) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(word)) return number(std::string_view(line).substr(word.size()));
  }
  return std::nullopt;
}

std::optional<uint64_t> least(std::optional<uint64_t> a, std::optional<uint64_t> b) {
  return a && b ? std::min(*a, *b) : a ? a : b;
}

struct GroupFiles {
  const char *limit, *used, *inactive, *active;
};
constexpr GroupFiles kUnified = {"memory.max", "memory.current", "inactive_file ", "active_file "};
constexpr GroupFiles kOld = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                             "total_inactive_file ", "total_active_file "};

// What a group may still take: pages of files count as used there, but can be dropped.
std::optional<uint64_t> left_in(const fs::path& group, const GroupFiles& files) {
  const auto limit = number_in(group / files.limit);
  if (!limit || *limit >= kNoLimit) return std::nullopt;
  const uint64_t used = number_in(group / files.used).value_or(0);
  const fs::path stat = group / "memory.stat";
  const uint64_t cached =
      number_in(stat, files.inactive).value_or(0) + number_in(stat, files.active).value_or(0);
  const uint64_t kept = used - std::min(used, cached);
  return *limit - std::min(*limit, kept);
}

// The groups of the process and those around them, each of which may have a limit.
std::optional<uint64_t> left_in_groups(const fs::path& root) {
  std::optional<uint64_t> left;
  std::ifstream in(root / "proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string kinds = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    const bool unified = kinds == ",,";
    if (!unified && kinds.find(",memory,") == std::string::npos) continue;
    const GroupFiles& files = unified ? kUnified : kOld;
    const fs::path mount = root / (unified ? "sys/fs/cgroup" : "sys/fs/cgroup/memory");
    fs::path group = fs::path(line.substr(second + 1)).relative_path().lexically_normal();
    while (true) {
      left = least(left, left_in(mount / group, files));
      if (group.empty() || group == ".") break;
      group = group.parent_path();
    }
  }
  return left;
}

std::optional<uint64_t> addresses_left(const fs::path& root) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t used = number_in(root / "proc/self/statm").value_or(0) * page;
  return limit.rlim_cur - std::min<uint64_t>(limit.rlim_cur, used);
}

}  // namespace

MemoryLeft memory_left(const fs::path& root) {
  auto machine = number_in(root / "proc/meminfo", "MemAvailable:");
  if (machine) *machine *= 1024;
  return {least(machine, left_in_groups(root)), addresses_left(root)};
}

namespace {

std::string size_text(uint64_t bytes) {
  if (bytes == UINT64_MAX) return "more than any machine has";
  const auto b = static_cast<double>(bytes);
  return b < 1e9 ? fmt::format("{:.1f} MB", b / 1e6) : fmt::format("{:.2f} GB", b / 1e9);
}

}  // namespace

void require(const MemoryNeeds& needs, const MemoryLeft& left, const std::string& model) {
  const auto check = [&](std::optional<uint64_t> there, std::string_view of) {
    uint64_t most = there.value_or(UINT64_MAX);
    for (const uint64_t part : {needs.others, needs.weights, needs.cache, needs.rest}) {
      if (part <= most) {
        most -= part;
        continue;
      }
      const bool shorter = needs.cache > needs.weights;
      const std::string keys = needs.positions == 0
                                   ? ""
                                   : fmt::format(", keys and values of {} positions {}",
                                                 needs.positions, size_text(needs.cache));
      const std::string others =
          needs.others == 0 ? "" : fmt::format(", {} of them for others", size_text(needs.others));
      fail(ErrorKind::kLimit, "{}: the weights need {}{}; there are {} of {}{}: {}", model,
           size_text(needs.weights), keys, size_text(*there), of, others,
           shorter ? "ask for a shorter context" : "compress the model");
    }
  };
  check(left.memory, "memory");
  check(left.addresses, "addresses (ulimit -v)");
}

std::optional<uint64_t> available_memory() {
  const MemoryLeft left = memory_left();
  return least(left.memory, left.addresses);
}

uint64_t cache_bytes(const DecoderConfig& c, uint64_t positions,
                     const std::optional<kv::CacheOptions>& options, uint64_t at_a_time) {
  uint64_t heads = 0;
  for (uint32_t l = 0; l < c.layers; ++l) heads += c.sizes(l).kv_heads;
  if (heads == 0) return 0;
  const uint64_t one = kv::Cache::bytes(1, c.head_size, 1);
  // Some positions more are counted for whole tiles, hence not up to the largest number.
  const uint64_t most = (uint64_t{1} << 62) / one / heads;
  if (positions > most) return UINT64_MAX;
  const uint64_t plain = kv::Cache::room(positions, options, at_a_time);
  constexpr uint64_t kObjects = 512;  // of a tile, beside its numbers
  const uint64_t tile = options ? options->tile_bits(c.head_size) / 8 + kObjects : 0;
  const uint64_t kept = options ? options->kept(positions) : positions;
  const uint64_t past = options ? (kept - std::min(kept, plain)) / options->tile * heads * tile : 0;
  return kv::Cache::bytes(heads, c.head_size, plain) + past;
}

uint64_t activation_bytes(const DecoderConfig& c, uint64_t chunk, uint64_t tile) {
  const uint64_t dense = std::max(c.feed_forward, c.shared_feed_forward);
  const uint64_t inner = std::max<uint64_t>(dense, c.expert_feed_forward);
  const uint64_t heads = uint64_t{c.heads} + c.kv_heads;
  const uint64_t row = 3 * uint64_t{c.width} + 2 * heads * c.head_size + 2 * inner;
  const uint64_t together = c.experts > 0 ? chunk : std::min(chunk, tile);
  return (chunk * c.width + together * row + 2 * uint64_t{c.vocabulary}) * sizeof(float);
}

namespace {

// The forms that are multiplied, each once.
class Multiplied {
 public:
  void add(const form::FormPtr& form) {
    if (form && seen_.insert(&whole_of(*form)).second) bytes_ += rearranged(whole_of(*form));
  }
  void add(const FeedForward& f) {
    for (const Linear* linear : {&f.gate, &f.up, &f.down}) add(linear->weight);
  }
  uint64_t bytes() const { return bytes_; }

 private:
  // As many bytes and a sixteenth more, of digits of three a quarter more (form/ggml_panels.h).
  static uint64_t rearranged(const form::Form& form) {
    if (form.kind() != "ggml") return 0;
    const auto blocks = form::as_ggml(form);
    const bool digits = blocks && (blocks->type == DType::kTQ1_0 || blocks->type == DType::kTQ2_0);
    const uint64_t bytes = form::bits(form) / 8;
    return bytes + bytes / (digits ? 4 : 16);
  }

  std::set<const form::Form*> seen_;
  uint64_t bytes_ = 0;
};

}  // namespace

uint64_t rearranged_bytes(const DecoderWeights& weights) {
  Multiplied all;
  all.add(weights.head.weight);  // the embedding is only looked up, where it is not the head
  for (const DecoderLayer& l : weights.layers) {
    for (const Linear* linear : {&l.q, &l.k, &l.v, &l.output}) all.add(linear->weight);
    if (l.feed_forward) all.add(*l.feed_forward);
    if (!l.experts) continue;
    all.add(l.experts->router);
    all.add(l.experts->shared_gate);
    for (const FeedForward& expert : l.experts->experts) all.add(expert);
    if (l.experts->shared) all.add(*l.experts->shared);
  }
  return all.bytes();
}

}  // namespace pith::model
