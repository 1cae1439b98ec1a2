#include "pith/kv/controller.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"

namespace pith::kv {
namespace {

// Tokens that are computed between two looks at what has come.
constexpr uint64_t kPiece = 64;
// Of the time that computing all would take: so long nothing is done until the first byte comes.
constexpr double kPatience = 0.05;
// What a link gave over what is reckoned with where there is a deadline.
constexpr double kFall = 2;
// Bytes that may come at once; how long they may be late before the link counts as broken.
constexpr uint64_t kBytesAtOnce = uint64_t{64} << 10;
constexpr double kLate = 8, kLateSeconds = 0.25, kUnheardSeconds = 1;

}  // namespace

void Controller::Rate::add(uint64_t n, double in, double memory) {
  const double kept = std::exp(-in / memory);
  amount = kept * amount + static_cast<double>(n);
  seconds = kept * seconds + in;
}

Controller::Controller(std::vector<uint64_t> tokens, const ControllerOptions& options)
    : tokens_(std::move(tokens)), options_(options), state_(tokens_.size(), State::kMissing) {
  if (!(options.memory > 0) || !(options.bytes_per_second >= 0) ||
      !(options.tokens_per_second >= 0) || !(options.deadline > 0))
    fail(ErrorKind::kUsage,
         "a controller's memory and deadline are above 0, and no rate is below 0");
  options_.memory = std::min(options.memory, options.deadline / 8);
  for (size_t i = 0; i < tokens_.size(); ++i) {
    all_tokens_ += tokens_[i];
    if (tokens_[i] == 0) state_[i] = State::kThere;
  }
  link_.believed = options.bytes_per_second;
  machine_.believed = options.tokens_per_second;
}

void Controller::stored(std::vector<std::vector<uint64_t>> bytes, double now) {
  const auto wrong = [&](const auto& b) { return b.empty() || b.size() != bytes[0].size(); };
  if (bytes.size() != state_.size() || std::ranges::any_of(bytes, wrong))
    fail(ErrorKind::kUsage, "bytes of every chunk at every level are asked for");
  bytes_ = std::move(bytes);
  for (size_t i = 0; i < state_.size(); ++i) {
    const bool none = std::ranges::all_of(bytes_[i], [](uint64_t b) { return b == 0; });
    if (none && state_[i] == State::kMissing) state_[i] = State::kComputeOnly;
  }
  round_trip_ = now / 2;  // half of it may have gone into connecting
}

void Controller::give_up() {
  fetching_.reset();
  std::ranges::replace(state_, State::kMissing, State::kComputeOnly);
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
    if (state_[i] != State::kMissing) continue;
    if (!computing_ || i != computing_->chunk) return i;
    last = i;
  }
  return last;
}

bool Controller::fetchable() const {
  return std::ranges::find(state_, State::kMissing) != state_.end();
}

size_t Controller::taken(size_t chunk, size_t level) const {
  const std::vector<uint64_t>& bytes = bytes_[chunk];
  for (size_t l = level; l < bytes.size(); ++l) {
    if (bytes[l] > 0) return l;
  }
  while (level > 0 && bytes[level] == 0) --level;
  return level;
}

// Of this chunk and all behind it.
double Controller::missing_bytes(size_t from, size_t level) const {
  uint64_t sum = 0;
  for (size_t i = from; i < state_.size(); ++i) {
    if (state_[i] != State::kMissing) continue;
    if (fetching_ && fetching_->chunk == i) {
      const uint64_t all = bytes_[i][fetching_->level];
      sum += all - std::min(all, arrived_);
    } else {
      sum += bytes_[i][taken(i, level)];
    }
  }
  return static_cast<double>(sum);
}

// Lower than what was measured where as much as came last is late.
double Controller::link_rate(double now) const {
  if (!fetching_ || link_.value() <= 0) return link_.value();
  Rate later = link_;
  later.add(std::max(piece_, kBytesAtOnce), std::max(0.0, now - heard_), options_.memory);
  return std::min(link_.value(), later.value());
}

bool Controller::stalled(double now) const {
  if (!fetching_) return false;
  const double silent = now - heard_;
  if (link_.value() <= 0) return silent > kUnheardSeconds;
  const auto bytes = static_cast<double>(std::max(piece_, kBytesAtOnce));
  return silent > std::max(kLateSeconds, kLate * bytes / link_.value());
}

// Seconds until all is there at a level, by such a link.
double Controller::expected(size_t level, double bytes_per_second) const {
  double tokens = 0, only = 0;  // only: that cannot be fetched
  for (size_t i = 0; i < state_.size(); ++i) {
    if (state_[i] == State::kThere) continue;
    tokens += static_cast<double>(tokens_[i]);
    if (state_[i] == State::kComputeOnly) only += static_cast<double>(tokens_[i]);
  }
  const auto behind = static_cast<double>(options_.behind);
  const double after = behind > 0 ? behind / machine_.value() : 0;
  if (tokens == 0) return after;
  const double bytes = missing_bytes(0, level);
  // Both take their share of what is left at once.
  const double link = bytes > 0 ? bytes_per_second * (tokens - only) / bytes : 0;
  const double seconds = tokens / (link + (options_.computes ? machine_.value() : 0));
  return after + (only > 0 ? std::max(seconds, only / machine_.value()) : seconds);
}

size_t Controller::best_level(double now) const {
  if (std::isinf(options_.deadline) || levels() < 2) return 0;
  // It may fall; where it does not, later chunks are the finer.
  const double link = link_rate(now) / kFall;
  if (link <= 0) return now + expected(0, link) <= options_.deadline ? 0 : levels() / 2;
  // The last chunk is not shared: one more of them is reckoned with.
  const auto end = [&](size_t level) {
    uint64_t most = 0;
    for (const std::vector<uint64_t>& bytes : bytes_) most = std::max(most, bytes[level]);
    return now + expected(level, link) + static_cast<double>(most) / link;
  };
  size_t level = 0;
  while (level + 1 < levels() && end(level) > options_.deadline) ++level;
  return level;
}

std::optional<Work> Controller::fetch(double now) {
  if (fetching_) fail(ErrorKind::kUsage, "chunk {} is being fetched already", fetching_->chunk);
  if (bytes_.empty()) return {};
  const auto chunk = back();
  if (!chunk) return {};
  fetching_ = {Work::Kind::kFetch, *chunk, taken(*chunk, best_level(now)), 0};
  heard_ = now;
  arrived_ = 0;
  return fetching_;
}

void Controller::arrived(uint64_t bytes, double now) {
  if (bytes == 0) return;
  double took = std::max(0.0, now - heard_);
  // What the first bytes of all took is mostly the way there and back.
  if (link_.seconds == 0) took = std::max(took - round_trip_, took / 8);
  link_.add(bytes, took, options_.memory);
  heard_ = now;
  arrived_ += bytes;
  piece_ = bytes;
}

// How many tokens of the chunk in front are worth computing now; 0: it is better to wait for it.
uint64_t Controller::worth_computing(size_t chunk, double now) const {
  const uint64_t rest = tokens_[chunk], piece = std::min(rest, kPiece);
  if (state_[chunk] == State::kComputeOnly) return rest;
  if (!options_.computes) return 0;
  const double machine = machine_.value(), link = link_rate(now);
  if (machine <= 0) return piece;
  if (bytes_.empty() || link <= 0)
    return now < kPatience * static_cast<double>(all_tokens_) / machine ? 0 : piece;
  // Of this chunk and all behind it: it is the last that is fetched.
  const double until = missing_bytes(chunk, best_level(now)) / link;
  const double computing = static_cast<double>(rest) / machine;
  if (until < computing) return 0;
  // Long stretches are computed faster, but only between them is there a look at what has come.
  return until > 2 * computing ? rest : piece;
}

std::optional<Work> Controller::compute(double now) {
  if (computing_) fail(ErrorKind::kUsage, "chunk {} is being computed already", computing_->chunk);
  const size_t chunk = front();
  if (chunk == state_.size()) return {};
  const uint64_t tokens = worth_computing(chunk, now);
  if (tokens == 0) return {};
  began_ = now;
  computing_ = {Work::Kind::kCompute, chunk, 0, tokens};
  return computing_;
}

void Controller::done(const Work& work, double now) {
  if (work.kind == Work::Kind::kCompute) {
    machine_.add(work.tokens, std::max(0.0, now - began_), options_.memory);
    computing_.reset();
    tokens_.at(work.chunk) -= std::min(work.tokens, tokens_.at(work.chunk));
    if (tokens_[work.chunk] > 0) return;
  } else {
    // Decoding it is a part of fetching.
    link_.add(0, std::max(0.0, now - heard_), options_.memory);
  }
  state_.at(work.chunk) = State::kThere;
  for (std::optional<Work>* under_way : {&fetching_, &computing_}) {
    if (*under_way && (*under_way)->chunk == work.chunk) under_way->reset();
  }
}

void Controller::failed(const Work& work) {
  if (work.kind != Work::Kind::kFetch) fail(ErrorKind::kUsage, "what computes does not fail");
  if (state_.at(work.chunk) == State::kMissing) state_[work.chunk] = State::kComputeOnly;
  fetching_.reset();
}

}  // namespace pith::kv
