// What training measured: one value per completed epoch under each of Keras' History keys, in the order Keras shows
// them (`loss`, per-output losses, metrics, then the same with `val_` in front).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/checkpoint.h"

namespace moru {

class History {
 public:
  /// Appends one epoch's value to the series `name`, which is made on first use.
  void append(std::string_view name, double value);
  /// The series `name`, or null.
  const std::vector<double>* find(std::string_view name) const;
  /// The newest value of the series `name`, or null.
  const double* newest(std::string_view name) const;
  /// Epochs recorded: the length of the longest series.
  size_t epochs() const;

  /// {"loss": [...], "val_loss": [...]}
  std::string to_json() const;
  /// A header line `epoch,loss,val_loss` and one line per epoch, counted from 0 as Keras' CSVLogger does.
  std::string to_csv() const;

  std::vector<SavedSeries> series;
};

}  // namespace moru
