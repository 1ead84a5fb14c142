// ONNX operators on texts whose words are numbers.
#include <algorithm>

#include "compiler/exchange/onnx/onnx_formulas.h"
#include "compiler/exchange/onnx/onnx_node.h"

namespace moru {

namespace {

// How often each n-gram of a pool stands in a text, words apart by up to max_skip_count others.
//   x: [words] or [batch, words] of integers -> [columns] or [batch, columns] f32
void tf_idf_vectorizer(OnnxNode& n) {
  if (n.has("pool_strings")) n.fail("counts strings, which is not supported", "give words by numbers, in pool_int64s");
  Builder& b = n.builder();
  Value x = n.in(0);
  if (x.rank() < 1 || x.rank() > 2 || is_float(x.type().dtype) || !x.dim(-1).is_constant())
    n.fail("needs integers [batch, words] of a known number of words but got " + shape_text(x.shape()));
  const bool single = x.rank() == 1;
  const Dim batch = single ? Dim(1) : x.dim(0);
  const int64_t words = x.dim(-1).constant();
  x = b.reshape(b.cast(x, DType::i64), {batch, words});
  const std::vector<int64_t> pool = n.integers("pool_int64s"), begins = n.integers("ngram_counts"), columns = n.integers("ngram_indexes");
  const int64_t least = n.integer("min_gram_length"), most = n.integer("max_gram_length"), skips = n.integer("max_skip_count");
  if (columns.empty() || begins.empty() || least < 1 || most < least || skips < 0)
    n.fail("needs ngram_indexes, ngram_counts and lengths of n-grams from 1 on");
  int64_t width = 0;
  for (const int64_t column : columns) {
    if (column < 0 || column > (int64_t{1} << 24)) n.fail("has the impossible column " + std::to_string(column));
    width = std::max(width, column + 1);
  }
  Value counts;
  size_t number = 0;  // of the n-gram
  for (int64_t length = 1; length <= static_cast<int64_t>(begins.size()); ++length) {
    const auto at = static_cast<size_t>(length - 1);
    const int64_t begin = begins[at], end = at + 1 < begins.size() ? begins[at + 1] : static_cast<int64_t>(pool.size());
    if (begin < 0 || end < begin || end > static_cast<int64_t>(pool.size()) || (end - begin) % length != 0)
      n.fail("has ngram_counts that do not divide its pool of " + std::to_string(pool.size()) + " words");
    const int64_t grams = (end - begin) / length;
    const size_t first = number;
    number += static_cast<size_t>(grams);
    if (number > columns.size()) n.fail("has fewer ngram_indexes than n-grams");
    if (grams == 0 || length < least || length > most) continue;
    HostTensor places = make_tensor(DType::f32, {grams, width});
    for (int64_t g = 0; g < grams; ++g) places.data[static_cast<size_t>(g * width + columns[first + static_cast<size_t>(g)])] = 1.0;
    const Value to_columns = n.table(known_of(places), "columns");
    // Words of their own have no others between them.
    for (int64_t distance = 1; distance <= (length == 1 ? 1 : skips + 1); ++distance) {
      const int64_t starts = words - distance * (length - 1);
      if (starts < 1) break;
      Value found;  // [batch, starts, grams]
      for (int64_t k = 0; k < length; ++k) {
        HostTensor wanted = make_tensor(DType::i64, {1, 1, grams});
        for (int64_t g = 0; g < grams; ++g)
          wanted.data[static_cast<size_t>(g)] = static_cast<double>(pool[static_cast<size_t>(begin + g * length + k)]);
        const Value word = b.reshape(b.slice(x, 1, k * distance, starts), {batch, starts, 1});
        const Value same = b.call("equal", {word, n.table(known_of(wanted), "words")});
        found = found ? b.call("logical_and", {found, same}) : same;
      }
      const Value times = b.reduce("reduce_sum", b.cast(found, DType::f32), {1});
      const Value counted = b.contract(times, to_columns, "bg,gc->bc");
      counts = counts ? counts + counted : counted;
    }
  }
  if (!counts) counts = b.fill(0.0, {batch, width});
  const std::string mode = n.string("mode");
  if (mode != "TF" && mode != "IDF" && mode != "TFIDF") n.fail("has the unknown mode '" + mode + "'");
  if (mode == "IDF") counts = b.cast(b.call("greater", {counts, n.constant(0.0)}), DType::f32);
  if (mode != "TF" && n.has("weights")) {
    HostTensor weights = make_tensor(DType::f32, {width}, 1.0);
    const std::vector<double> given = n.reals("weights");
    if (given.size() < static_cast<size_t>(width)) n.fail("needs " + std::to_string(width) + " weights but has " + std::to_string(given.size()));
    std::copy_n(given.begin(), width, weights.data.begin());
    counts = counts * n.table(known_of(weights), "weights");
  }
  n.set_as(0, single ? b.reshape(counts, {width}) : counts, DType::f32);
}

constexpr OnnxOp ops[] = {{"TfIdfVectorizer", 9, tf_idf_vectorizer}};

}  // namespace

std::span<const OnnxOp> onnx_text_ops() { return ops; }

}  // namespace moru
