#include "tools/moru/ridge.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

namespace moru {
namespace {

using Matrix = Eigen::MatrixXd;
using Row = Eigen::RowVectorXd;

constexpr int64_t rows_at_once = 512;

int64_t element_count(const DatasetArray& array) {
  return static_cast<int64_t>(array.sample_bytes / static_cast<std::size_t>(dtype_bytes(array.dtype)));
}

template <typename T>
void copy_as_doubles(const std::byte* bytes, Matrix& out, int64_t rows, int64_t column, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      T value;
      std::memcpy(&value, bytes + static_cast<std::size_t>(i * columns + j) * sizeof(T), sizeof(T));
      out(i, column + j) = static_cast<double>(value);
    }
  }
}

void place(const DatasetArray& array, const std::vector<std::byte>& bytes, Matrix& out, int64_t rows, int64_t column) {
  const int64_t columns = element_count(array);
  switch (array.dtype) {
    case DType::f32:
      return copy_as_doubles<float>(bytes.data(), out, rows, column, columns);
    case DType::f64:
      return copy_as_doubles<double>(bytes.data(), out, rows, column, columns);
    case DType::i32:
      return copy_as_doubles<int32_t>(bytes.data(), out, rows, column, columns);
    case DType::i64:
      return copy_as_doubles<int64_t>(bytes.data(), out, rows, column, columns);
    case DType::boolean:
      return copy_as_doubles<uint8_t>(bytes.data(), out, rows, column, columns);
    case DType::bf16:  // no slot holds it
      return;
  }
}

/// Samples first ... first + rows - 1: all inputs side by side, and one target.
struct Block {
  Matrix x, y;
};

class Reader {
 public:
  Reader(const Dataset& data, std::size_t target) : data_(data), target_(target) {
    for (const DatasetArray& input : data.inputs()) {
      features_ += element_count(input);
      inputs_.emplace_back(input.sample_bytes * rows_at_once);
    }
    outputs_ = element_count(data.targets()[target]);
    truth_.resize(data.targets()[target].sample_bytes * rows_at_once);
  }
  int64_t features() const { return features_; }
  int64_t outputs() const { return outputs_; }

  template <typename Visit>
  void each_block(Visit visit) {
    std::vector<void*> inputs, targets(data_.targets().size(), nullptr);
    for (std::vector<std::byte>& input : inputs_) inputs.push_back(input.data());
    targets[target_] = truth_.data();
    for (int64_t first = 0; first < data_.size(); first += rows_at_once) {
      const int64_t rows = std::min(rows_at_once, data_.size() - first);
      data_.gather_range(first, rows, inputs, targets);
      Block block{Matrix(rows, features_), Matrix(rows, outputs_)};
      int64_t column = 0;
      for (std::size_t k = 0; k < inputs_.size(); ++k) {
        place(data_.inputs()[k], inputs_[k], block.x, rows, column);
        column += element_count(data_.inputs()[k]);
      }
      place(data_.targets()[target_], truth_, block.y, rows, 0);
      visit(block);
    }
  }

 private:
  const Dataset& data_;
  std::size_t target_;
  int64_t features_ = 0, outputs_ = 0;
  std::vector<std::vector<std::byte>> inputs_;
  std::vector<std::byte> truth_;
};

/// What the normal equations need of the training part.
struct Moments {
  Row mean, deviation, target_mean;
  Matrix gram, cross;  // of standardised inputs and centred targets, both divided by the number of samples
};

Moments find_moments(Reader& reader, double samples) {
  Moments m;
  m.mean = Row::Zero(reader.features());
  m.target_mean = Row::Zero(reader.outputs());
  reader.each_block([&](const Block& block) {
    m.mean += block.x.colwise().sum();
    m.target_mean += block.y.colwise().sum();
  });
  m.mean /= samples;
  m.target_mean /= samples;
  m.gram = Matrix::Zero(reader.features(), reader.features());
  m.cross = Matrix::Zero(reader.features(), reader.outputs());
  reader.each_block([&](Block& block) {
    block.x.rowwise() -= m.mean;
    block.y.rowwise() -= m.target_mean;
    m.gram.selfadjointView<Eigen::Lower>().rankUpdate(block.x.transpose());
    m.cross.noalias() += block.x.transpose() * block.y;
  });
  m.deviation = (m.gram.diagonal().transpose() / samples).cwiseSqrt();
  // What varies by less than rounding is constant.
  for (Eigen::Index j = 0; j < m.deviation.size(); ++j)
    if (m.deviation(j) <= 1e-9 * std::max(1.0, std::fabs(m.mean(j)))) m.deviation(j) = 1;
  const Eigen::VectorXd scale = m.deviation.cwiseInverse().transpose();
  m.gram = scale.asDiagonal() * Matrix(m.gram.selfadjointView<Eigen::Lower>()) * scale.asDiagonal() / samples;
  m.cross = scale.asDiagonal() * m.cross / samples;
  return m;
}

Matrix solve(const Moments& m, double penalty) {
  Matrix system = m.gram;
  system.diagonal().array() += penalty;
  return Eigen::LLT<Matrix>(system).solve(m.cross);
}

Matrix answer(const Moments& m, const Matrix& weights, const Matrix& x) {
  const Matrix z = ((x.rowwise() - m.mean).array().rowwise() / m.deviation.array()).matrix();
  return (z * weights).rowwise() + m.target_mean;
}

}  // namespace

std::optional<RidgeForecast> ridge_forecast(const Dataset& train, const Dataset& validation, const Dataset& test,
                                            std::size_t target, int64_t most_features) {
  if (train.size() == 0 || test.size() == 0 || target >= train.targets().size()) return std::nullopt;
  const DatasetArray& array = train.targets()[target];
  if (array.is_category || array.dtype != DType::f32) return std::nullopt;
  Reader training(train, target);
  if (training.features() > most_features) return std::nullopt;
  const Moments moments = find_moments(training, static_cast<double>(train.size()));
  if (!moments.gram.allFinite() || !moments.cross.allFinite()) return std::nullopt;

  RidgeForecast forecast{{}, 0.01};
  if (validation.size() > 0) {
    double least = INFINITY;
    for (const double penalty : {1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0}) {
      const Matrix weights = solve(moments, penalty);
      double error = 0;
      Reader(validation, target).each_block([&](const Block& block) {
        error += (answer(moments, weights, block.x) - block.y).squaredNorm();
      });
      if (!(error < least)) continue;
      least = error;
      forecast.penalty = penalty;
    }
  }
  const Matrix weights = solve(moments, forecast.penalty);
  Reader(test, target).each_block([&](const Block& block) {
    const Matrix predicted = answer(moments, weights, block.x);
    for (Eigen::Index i = 0; i < predicted.rows(); ++i)
      for (Eigen::Index j = 0; j < predicted.cols(); ++j)
        forecast.predicted.push_back(static_cast<float>(predicted(i, j)));
  });
  return forecast;
}

}  // namespace moru
