// .npy arrays and a recipe become rows: the first axis of every array counts the rows.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/data/large_array.h"
#include "runtime/data/npy.h"
#include "runtime/data/rows.h"
#include "runtime/data/scale.h"
#include "runtime/data/wording.h"

namespace moru {
namespace {

class NpyRows {
 public:
  NpyRows(const Recipe& recipe, Purpose purpose, bool learn)
      : recipe_(recipe), data_(recipe.data), purpose_(purpose), learn_(learn) {}

  Result<SourceRows> read() {
    if (!learn_) out_.fitted = *recipe_.fitted;
    for (const InputRecipe& input : data_.inputs) {
      MORU_RETURN_IF_ERROR(add(input.name, input.type, input.rows, input.path, out_.inputs));
    }
    if (purpose_ != Purpose::prediction) {
      for (const TargetRecipe& target : data_.targets) {
        MORU_RETURN_IF_ERROR(add(target.name, target.type, InputRows::target_row, target.path, out_.targets));
      }
      MORU_RETURN_IF_ERROR(read_weights());
    }
    if (out_.row_count == 0) return data_error(first_path_ + ": has no rows\n  hint: is this the right file?");
    const std::vector<uint8_t> all(static_cast<std::size_t>(out_.row_count), 1);
    out_.parts =
        purpose_ == Purpose::training ? split_rows(all, data_.split) : std::vector<Part>(all.size(), Part::train);
    std::vector<RowNeed> needs;
    for (const InputRecipe& input : data_.inputs) needs.push_back({input.rows, all});
    if (purpose_ != Purpose::prediction) needs.push_back({InputRows::target_row, all});
    out_.usable = find_usable(needs, data_.window, out_.row_count);
    const bool hold_out = purpose_ == Purpose::training && recipe_.fit.validation == ValidationFrom::last_of_training;
    learned_from_ =
        hold_out ? hold_out_last(out_.parts, out_.usable, data_.window, recipe_.fit.validation_split) : out_.parts;
    if (learn_) {
      for (std::size_t i = 0; i < data_.inputs.size(); ++i)
        fit(out_.inputs[i], data_.inputs[i].scaler, out_.fitted.inputs);
      for (std::size_t i = 0; i < out_.targets.size(); ++i)
        fit(out_.targets[i], data_.targets[i].scaler, out_.fitted.targets);
      out_.fitted.training_rows = std::count(learned_from_.begin(), learned_from_.end(), Part::train);
      out_.fitted.data_fingerprint = out_.fingerprint;
    }
    return std::move(out_);
  }

 private:
  Status add(const std::string& name, DType dtype, InputRows rows, const std::string& path,
             std::vector<DatasetArray>& arrays) {
    if (path.empty()) {
      return recipe_error(recipe_, "data: '" + name + "' has no .npy file\n  hint: give its path");
    }
    std::vector<int64_t> shape;
    Result<std::shared_ptr<const RowBytes>> base = read_rows(path, dtype, shape);
    if (!base.ok()) return base.status();
    if (shape.empty()) {
      return data_error(path + ": holds a scalar\n  hint: the first axis of an array must count the samples");
    }
    if (first_path_.empty()) {
      first_path_ = path;
      out_.row_count = shape[0];
    } else if (shape[0] != out_.row_count) {
      return data_error(path + ": has " + std::to_string(shape[0]) + " rows, and " + first_path_ + " has " +
                        std::to_string(out_.row_count) +
                        "\n  hint: the first axis of all arrays must count the same samples");
    }
    out_.fingerprint = XXH3_64bits_withSeed((*base)->data(), (*base)->size(), out_.fingerprint);
    const std::vector<int64_t> row_shape(shape.begin() + 1, shape.end());
    DatasetArray entry = describe_array(name, dtype, rows, data_.window, row_shape);
    entry.is_category = is_integer(dtype);
    entry.base = *base;
    arrays.push_back(std::move(entry));
    return {};
  }

  static Result<std::shared_ptr<const RowBytes>> read_rows(const std::string& path, DType dtype, std::vector<int64_t>& shape) {
    Result<std::optional<MappedNpy>> mapped = map_npy(path, dtype, large_bytes());
    if (!mapped.ok()) return mapped.status();
    if (*mapped) {
      shape = (*mapped)->shape;
      return std::make_shared<const RowBytes>((*mapped)->file, (*mapped)->data);
    }
    Result<NpyArray> array = read_npy(path);
    if (!array.ok()) return array.status();
    Result<std::vector<std::byte>> values = convert_npy(*array, dtype, path);
    if (!values.ok()) return values.status();
    shape = array->shape;
    return std::make_shared<const RowBytes>(std::move(values.value()));
  }

  Status read_weights() {
    if (data_.sample_weight.empty()) return {};
    Result<NpyArray> array = read_npy(data_.sample_weight);
    if (!array.ok()) return array.status();
    if (array->element_count() != out_.row_count) {
      return data_error(data_.sample_weight + ": has " + std::to_string(array->element_count()) + " weights for " +
                        std::to_string(out_.row_count) + " samples\n  hint: give one weight per sample");
    }
    Result<std::vector<std::byte>> values = convert_npy(*array, DType::f32, data_.sample_weight);
    if (!values.ok()) return values.status();
    auto weights = std::make_shared<std::vector<float>>(static_cast<std::size_t>(out_.row_count));
    std::memcpy(weights->data(), values->data(), values->size());
    for (std::size_t i = 0; i < weights->size(); ++i) {
      if (!((*weights)[i] >= 0)) {
        return data_error(data_.sample_weight + ": weight " + std::to_string(i) +
                          " is negative or not a number\n  hint: weights are "
                          "numbers from 0 up");
      }
    }
    out_.weights = std::move(weights);
    return {};
  }

  /// Statistics per element of the last axis, over the training rows and all axes in between.
  void fit(const DatasetArray& array, ScalerKind scaler, std::vector<FittedGroup>& groups) {
    FittedGroup fitted;
    fitted.name = array.name;
    fitted.scaled = scaler != ScalerKind::none;
    if (fitted.scaled) {
      const std::size_t row_elements = array.row_bytes / sizeof(float);
      // A row that is one number has a last axis of one.
      const bool scalar_rows = array.sample_shape.empty() || array.row_bytes == sizeof(float);
      const std::size_t features = scalar_rows ? 1 : static_cast<std::size_t>(array.sample_shape.back());
      const std::vector<ScalerKind> kinds(features, scaler);
      const std::vector<ScalerNumbers> all = fit_scalers(kinds, [&](const auto& use) {
        for (std::size_t row = 0; row < learned_from_.size(); ++row) {
          if (learned_from_[row] != Part::train) continue;
          for (std::size_t at = 0; at < row_elements; ++at) {
            float value = 0;
            std::memcpy(&value, array.base->data() + row * array.row_bytes + at * sizeof(float), sizeof value);
            use(at % features, static_cast<double>(value));
          }
        }
      });
      for (const ScalerNumbers& numbers : all) {
        fitted.mean.push_back(numbers.mean);
        fitted.variance.push_back(numbers.variance);
      }
    }
    groups.push_back(std::move(fitted));
  }

  const Recipe& recipe_;
  const DataRecipe& data_;
  Purpose purpose_;
  bool learn_;
  std::string first_path_;
  std::vector<Part> learned_from_;  // the parts as statistics see them
  SourceRows out_;
};

}  // namespace

Result<SourceRows> read_npy_rows(const Recipe& recipe, Purpose purpose, bool learn) {
  return NpyRows(recipe, purpose, learn).read();
}

}  // namespace moru
