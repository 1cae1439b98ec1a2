#include "pith/kv/controller.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"

namespace pith::kv {

void Controller::Rate::add(uint64_t amount, double seconds, double memory) {
  if (!(seconds > 0)) return;
  const double now = static_cast<double>(amount) / seconds;
  const double kept = rate > 0 ? std::exp(-seconds / memory) : 0;
  rate = kept * rate + (1 - kept) * now;
}

Controller::Controller(std::vector<ChunkSizes> chunks, const ControllerOptions& options)
    : chunks_(std::move(chunks)), options_(options), state_(chunks_.size(), State::kMissing) {
  if (!(options.memory > 0) || options.bytes_per_second < 0 || options.tokens_per_second < 0 ||
      std::isnan(options.deadline))
    fail(ErrorKind::kUsage, "a controller's memory is above 0, and no rate is below 0");
  size_t levels = 0;
  for (size_t i = 0; i < chunks_.size(); ++i) {
    if (chunks_[i].bytes.empty()) {
      state_[i] = State::kComputeOnly;
      continue;
    }
    if (levels != 0 && chunks_[i].bytes.size() != levels)
      fail(ErrorKind::kUsage, "chunk {} has {} levels, those before it {}", i,
           chunks_[i].bytes.size(), levels);
    levels = chunks_[i].bytes.size();
  }
  link_.rate = options.bytes_per_second;
  machine_.rate = options.tokens_per_second;
}

size_t Controller::front() const {
  size_t i = 0;
  while (i < state_.size() && state_[i] == State::kThere) ++i;
  return i;
}

// The last chunk that is to be fetched. One that is being computed only where it is the last of
// all.
std::optional<size_t> Controller::back() const {
  std::optional<size_t> last;
  for (size_t i = state_.size(); i-- > 0;) {
    if (state_[i] != State::kMissing || i == fetching_) continue;
    if (i != computing_) return i;
    last = i;
  }
  return last;
}

bool Controller::finished() const { return front() == state_.size(); }

double Controller::expected(size_t level) const {
  double bytes = 0, tokens = 0, only = 0;  // only: tokens that cannot be fetched
  for (size_t i = 0; i < chunks_.size(); ++i) {
    if (state_[i] == State::kThere) continue;
    tokens += static_cast<double>(chunks_[i].tokens);
    if (state_[i] == State::kComputeOnly) only += static_cast<double>(chunks_[i].tokens);
    if (state_[i] == State::kMissing) bytes += static_cast<double>(chunks_[i].bytes.at(level));
  }
  if (tokens == 0) return 0;
  // Both take their share of what is left at once.
  const double link = bytes > 0 ? link_.rate * (tokens - only) / bytes : 0;
  const double both = link + machine_.rate;
  const double seconds = both > 0 ? tokens / both : std::numeric_limits<double>::infinity();
  return only > 0 && machine_.rate > 0 ? std::max(seconds, only / machine_.rate) : seconds;
}

size_t Controller::best_level(double now) const {
  size_t levels = 0;
  for (const ChunkSizes& c : chunks_) levels = std::max(levels, c.bytes.size());
  if (std::isinf(options_.deadline) || levels < 2) return 0;
  if (link_.rate <= 0) return levels / 2;
  // The last chunk is not shared: one more of them is reckoned with.
  const auto end = [&](size_t level) {
    uint64_t most = 0;
    for (const ChunkSizes& c : chunks_) {
      if (!c.bytes.empty()) most = std::max(most, c.bytes[level]);
    }
    return now + expected(level) + static_cast<double>(most) / link_.rate;
  };
  size_t level = 0;
  while (level + 1 < levels && end(level) > options_.deadline) ++level;
  return level;
}

std::optional<Work> Controller::fetch(double now) {
  if (fetching_) fail(ErrorKind::kUsage, "chunk {} is being fetched already", *fetching_);
  fetching_ = back();
  if (!fetching_) return {};
  return Work{Work::Kind::kFetch, *fetching_, best_level(now)};
}

std::optional<Work> Controller::compute(double /*now*/) {
  if (computing_) fail(ErrorKind::kUsage, "chunk {} is being computed already", *computing_);
  const size_t at = front();
  if (at == state_.size()) return {};
  computing_ = at;
  return Work{Work::Kind::kCompute, at, 0};
}

void Controller::done(const Work& work) {
  state_.at(work.chunk) = State::kThere;
  if (fetching_ == work.chunk) fetching_.reset();
  if (computing_ == work.chunk) computing_.reset();
}

void Controller::failed(const Work& work) {
  if (work.kind != Work::Kind::kFetch) fail(ErrorKind::kUsage, "what computes does not fail");
  if (state_.at(work.chunk) == State::kMissing) state_[work.chunk] = State::kComputeOnly;
  if (fetching_ == work.chunk) fetching_.reset();
}

}  // namespace pith::kv
