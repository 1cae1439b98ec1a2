#include "chunk_fetcher.h"

#include <algorithm>

#include "pith/base/error.h"

namespace pith::model {
namespace {

double seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace

ChunkFetcher::ChunkFetcher(kv::Store& store, std::vector<Hash128> ids, size_t first, size_t last,
                           std::shared_ptr<const kv::Profile> profile)
    : store_(store),
      profile_(std::move(profile)),
      ids_(std::move(ids)),
      first_(first),
      last_(last),
      states_(last - first, State::kComing),
      fetched_(last - first),
      bad_(ids_.size()),
      thread_([this] { run(); }) {}

void ChunkFetcher::say(std::string_view what) {
  if (problem_.empty()) problem_ = what;
}

void ChunkFetcher::set(size_t chunk, State state) {
  states_[chunk - first_] = state;
  news_.notify_all();
}

void ChunkFetcher::run() {
  try {
    const Clock::time_point start = Clock::now();
    auto sizes = store_.sizes(ids_);
    {
      const std::lock_guard lock(mutex_);
      // Half of it may have gone into connecting.
      round_trip_ = seconds(Clock::now() - start) / 2;
      for (size_t c = first_; c < last_; ++c) {
        if (!sizes[c]) set(c, State::kMissing);
      }
      sizes_ = std::move(sizes);
    }
    for (size_t c = last_; c-- > first_;) {
      if (state(c) == State::kComing) fetch(c);
    }
    const std::lock_guard lock(mutex_);
    finished_ = true;
  } catch (const std::exception& e) {
    const std::lock_guard lock(mutex_);
    finished_ = true;
    asked_.reset();
    if (!stopping_) say(e.what());
    for (size_t c = first_; c < last_; ++c) {
      if (states_[c - first_] == State::kComing) set(c, State::kMissing);
    }
  }
}

void ChunkFetcher::fetch(size_t chunk) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) fail(ErrorKind::kIo, "stopped");
    arrived_ = 0;
    asked_ = Clock::now();
  }
  const auto bytes = store_.get(ids_[chunk], [&](uint64_t n) {
    const std::lock_guard lock(mutex_);
    arrived_ = n;
    news_.notify_all();
  });
  const Clock::time_point came = Clock::now();
  {
    const std::lock_guard lock(mutex_);
    transfer_ += seconds(came - *asked_);
    asked_.reset();
    arrived_ = 0;
    done_ += (*sizes_)[chunk].value_or(0);
    if (!bytes) return set(chunk, State::kMissing);
  }
  try {
    Fetched fetched{kv::read_arrays(*bytes, ids_[chunk], profile_), bytes->size()};
    const std::lock_guard lock(mutex_);
    decoding_ += seconds(Clock::now() - came);
    fetched_[chunk - first_] = std::move(fetched);
    set(chunk, State::kThere);
  } catch (const Error& e) {
    const std::lock_guard lock(mutex_);
    say(fmt::format("{}: chunk {}: {}", store_.name(), ids_[chunk].hex(), e.what()));
    bad_[chunk] = true;
    set(chunk, State::kMissing);
  }
}

ChunkFetcher::State ChunkFetcher::state(size_t chunk) const {
  const std::lock_guard lock(mutex_);
  return states_[chunk - first_];
}

ChunkFetcher::Fetched ChunkFetcher::take(size_t chunk) {
  const std::lock_guard lock(mutex_);
  states_[chunk - first_] = State::kMissing;
  return std::move(fetched_[chunk - first_]);
}

bool ChunkFetcher::any_from(size_t chunk) const {
  const std::lock_guard lock(mutex_);
  const auto from = states_.begin() + static_cast<ptrdiff_t>(chunk - first_);
  return std::any_of(from, states_.end(), [](State s) { return s != State::kMissing; });
}

std::optional<double> ChunkFetcher::seconds_until(size_t chunk) const {
  const std::lock_guard lock(mutex_);
  const uint64_t came = done_ + arrived_;
  if (!sizes_ || came == 0) return std::nullopt;
  uint64_t left = 0;
  for (size_t c = chunk; c < last_; ++c) {
    if (states_[c - first_] == State::kComing) left += (*sizes_)[c].value_or(0);
  }
  left -= std::min(left, arrived_);
  double took = transfer_ + (asked_ ? seconds(Clock::now() - *asked_) : 0);
  // What the first bytes took is mostly the way there and back.
  if (done_ == 0) took = std::max(took - round_trip_, took / 8);
  const double decoding = done_ > 0 ? decoding_ / static_cast<double>(done_) : 0;
  return static_cast<double>(left) * (took / static_cast<double>(came) + decoding);
}

void ChunkFetcher::wait(std::chrono::microseconds longest) const {
  std::unique_lock lock(mutex_);
  news_.wait_for(lock, longest);
}

bool ChunkFetcher::finished() const {
  const std::lock_guard lock(mutex_);
  return finished_;
}

void ChunkFetcher::interrupt() {
  {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    stopping_ = true;
  }
  store_.interrupt();
}

void ChunkFetcher::stop() {
  if (!thread_.joinable()) return;
  interrupt();
  thread_.join();
}

std::optional<std::vector<bool>> ChunkFetcher::held() const {
  if (!sizes_) return std::nullopt;
  std::vector<bool> out(ids_.size());
  for (size_t c = 0; c < ids_.size(); ++c) out[c] = (*sizes_)[c] && !bad_[c];
  return out;
}

}  // namespace pith::model
