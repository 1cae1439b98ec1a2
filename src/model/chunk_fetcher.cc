#include "chunk_fetcher.h"

#include <algorithm>

#include "pith/base/error.h"

namespace pith::model {

ChunkFetcher::ChunkFetcher(kv::Store& store, std::vector<ChunkLevel> levels,
                           std::vector<uint64_t> tokens, const kv::ControllerOptions& options)
    : store_(store),
      levels_(std::move(levels)),
      chunks_(tokens.size()),
      controller_(std::move(tokens), options),
      thread_([this] { run(); }) {}

double ChunkFetcher::now() const {
  return std::chrono::duration<double>(Clock::now() - start_).count();
}

void ChunkFetcher::say(std::string_view what) {
  if (problem_.empty()) problem_ = what;
}

void ChunkFetcher::run() {
  std::string problem;
  try {
    ask();
    while (const auto work = next()) fetch(*work);
  } catch (const std::exception& e) {
    problem = e.what();
  }
  const std::lock_guard lock(mutex_);
  // What breaks off because it was ended is no problem.
  if (!problem.empty() && !cut_) say(problem);
  controller_.give_up();
  finished_ = true;
  news_.notify_all();
}

// Which chunks there are, at all levels in one go.
void ChunkFetcher::ask() {
  std::vector<Hash128> ids;
  for (const ChunkLevel& level : levels_) ids.insert(ids.end(), level.ids.begin(), level.ids.end());
  const auto sizes = store_.sizes(ids);
  const size_t all = levels_.front().ids.size();
  std::vector<std::vector<bool>> held(levels_.size(), std::vector<bool>(all));
  std::vector<std::vector<uint64_t>> bytes(chunks_, std::vector<uint64_t>(levels_.size()));
  for (size_t l = 0; l < levels_.size(); ++l) {
    for (size_t c = 0; c < all; ++c) {
      const auto& size = sizes[l * all + c];
      held[l][c] = size.has_value();
      if (c < chunks_) bytes[c][l] = size.value_or(0);
    }
  }
  const std::lock_guard lock(mutex_);
  held_ = std::move(held);
  controller_.stored(std::move(bytes), now());
  news_.notify_all();
}

std::optional<kv::Work> ChunkFetcher::next() {
  const std::lock_guard lock(mutex_);
  return enough_ ? std::nullopt : controller_.fetch(now());
}

void ChunkFetcher::fetch(const kv::Work& work) {
  const Hash128& id = levels_[work.level].ids[work.chunk];
  kv::ChunkReader reader(id, levels_[work.level].profile);
  uint64_t before = 0;
  const auto bytes = store_.get(id, [&](ByteView so_far) {
    {
      const std::lock_guard lock(mutex_);
      controller_.arrived(so_far.size() - before, now());
      news_.notify_all();
    }
    before = so_far.size();
    reader.arrived(so_far);
  });
  if (!bytes) return bad(work, "");
  try {
    Fetched fetched{reader.read(*bytes), bytes->size(), work.level};
    const std::lock_guard lock(mutex_);
    fetched_[work.chunk] = std::move(fetched);
    controller_.done(work, now());
    news_.notify_all();
  } catch (const Error& e) {
    bad(work, fmt::format("{}: chunk {}: {}", store_.name(), id.hex(), e.what()));
  }
}

// why: empty where it is gone.
void ChunkFetcher::bad(const kv::Work& work, std::string_view why) {
  const std::lock_guard lock(mutex_);
  say(why);
  (*held_)[work.level][work.chunk] = false;
  controller_.failed(work);
  news_.notify_all();
}

std::optional<ChunkFetcher::Fetched> ChunkFetcher::take(size_t chunk) {
  const std::lock_guard lock(mutex_);
  auto found = fetched_.extract(chunk);
  if (found.empty()) return {};
  return std::move(found.mapped());
}

std::optional<kv::Work> ChunkFetcher::compute(size_t chunk) {
  const std::lock_guard lock(mutex_);
  if (fetched_.contains(chunk)) return {};
  return controller_.compute(now());
}

void ChunkFetcher::computed(const kv::Work& work) {
  const std::lock_guard lock(mutex_);
  controller_.done(work, now());
}

bool ChunkFetcher::more() const {
  const std::lock_guard lock(mutex_);
  return !fetched_.empty() || controller_.fetchable();
}

void ChunkFetcher::wait(std::chrono::microseconds longest) const {
  std::unique_lock lock(mutex_);
  if (!finished_) news_.wait_for(lock, longest);
}

bool ChunkFetcher::finished() const {
  const std::lock_guard lock(mutex_);
  return finished_;
}

void ChunkFetcher::give_up() {
  const std::lock_guard lock(mutex_);
  if (finished_ || enough_) return;
  enough_ = true;
  if (controller_.stalled(now()))
    say(fmt::format("{}: a chunk that was asked for does not come", store_.name()));
  // Where it is not known yet what the store holds, the thread ends once it is.
  if (held_) cut();
}

void ChunkFetcher::cut() {
  cut_ = true;
  store_.interrupt();
}

void ChunkFetcher::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    enough_ = true;
    if (!finished_) cut();
  }
  thread_.join();
}

}  // namespace pith::model
