// A recipe says where a model's data comes from and how it is fitted: `data` (source, columns, encoders, scalers,
// windows, split), `fit` (optimizer, losses, metrics, epochs, callbacks), and `fitted`, what was learned from the
// training rows and must travel with the trained model (categories, fill values, scaler statistics), so that `predict`
// takes raw rows. Plain structs; the bytes are schema/recipe.fbs; JSON belongs to tools/recipe.
//
// Rows, windows and time. A CSV is a table of rows 0..n-1 in file order. A sample has an anchor row i:
//   an input reads rows i-length+1 .. i (window), row i (row), or row i+horizon (target_row: facts known in advance,
//   such as the hour of the day); a target is read from row i+horizon. Without a window, length is 1 and horizon 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/status.h"
#include "schema/types.h"

namespace moru {

// ---- data ------------------------------------------------------------------------------------------------------

enum class SourceKind : uint8_t { csv, npy };
enum class TextEncoding : uint8_t { automatic, utf8, latin1, cp949 };
enum class MissingPolicy : uint8_t { error, drop, fill };
enum class FillKind : uint8_t { mean, median, constant, previous };
enum class EncoderKind : uint8_t { numeric, one_hot, ordinal, cyclic, date_parts, string_lookup, hashing };
enum class ScalerKind : uint8_t { none, standard, minmax };
enum class SplitKind : uint8_t { chronological, random, column };
enum class InputRows : uint8_t { row, window, target_row };
enum class DatePart : uint8_t { year, month, day, weekday, day_of_year, hour, minute };  // weekday: Monday is 0

/// What to do about a missing cell; for a column, or as the default of all columns.
struct MissingRecipe {
  MissingPolicy policy = MissingPolicy::error;
  FillKind fill = FillKind::mean;  // mean and median are those of the training rows
  double constant = 0;             // for fill == constant of a number
  std::string text;                // for fill == constant of a category
};

/// One column of the table and the numbers it becomes.
struct ColumnRecipe {
  std::string column;
  EncoderKind encoder = EncoderKind::numeric;
  // one_hot, ordinal: in order; empty = all of the file's, sorted. string_lookup: the vocabulary; empty = the tokens of the
  // training rows, the most frequent first, those that are equally frequent in descending order.
  std::vector<std::string> categories;
  double period = 0;                    // cyclic: sin and cos of 2*pi*value/period
  std::vector<DatePart> parts;          // date_parts: one number each
  bool cyclic_parts = false;            // date_parts: sin and cos of each part (of its natural period) instead
  // string_lookup and hashing give the indices of the Keras layers of these names: 0 for the mask token if there is one;
  // behind it as many for what is not in the vocabulary, chosen by its hash, then the vocabulary; or the bins.
  std::optional<std::string> mask_token;
  int64_t oov_indices = 1;     // string_lookup
  int64_t max_tokens = 0;      // string_lookup: of a learned vocabulary, with the indices before it; 0 = no limit
  int64_t bins = 0;            // hashing: num_bins, the mask's included
  std::vector<uint64_t> salt;  // hashing: two numbers (SipHash), or none (FarmHash)
  ScalerKind scaler = ScalerKind::none;
  std::optional<MissingRecipe> missing;  // overrides DataRecipe::missing
};

/// The columns that make up one model input, concatenated in order along the last axis.
struct InputRecipe {
  std::string name;  // the model's input; empty where the model has only one
  InputRows rows = InputRows::row;
  DType type = DType::f32;  // f32, i32 or i64
  std::vector<ColumnRecipe> columns;
  std::string path;                      // npy: the array's file
  ScalerKind scaler = ScalerKind::none;  // npy: statistics per element of the last axis
};

/// The columns that make up the target of one model output. A scaled target stays raw in the data set too: the loss
/// is taken against the target scaled in the graph, predictions come back in raw units.
struct TargetRecipe {
  std::string name;         // the model's output; empty where the model has only one
  DType type = DType::f32;  // f32, i32 or i64
  std::vector<ColumnRecipe> columns;
  std::string path;                      // npy
  ScalerKind scaler = ScalerKind::none;  // npy
};

/// Keeps the rows whose cell in `column` is one of `values` (compared as text, spaces around it ignored).
struct RowFilter {
  std::string column;
  std::vector<std::string> values;
  bool keep = true;  // false: drops those rows instead
};

/// The parse of a time column. `formats` empty: recognised by itself (ISO 8601, dd/mm/yyyy, ...).
struct TimeRecipe {
  std::string column;       // empty: rows have no time
  std::string hour_column;  // hours 0..23 kept in a column of their own; may be empty
  std::string format;       // strptime style, such as "%d/%m/%Y"; empty = found by looking at all cells
};

struct WindowRecipe {
  int64_t length = 1;   // rows an input of kind `window` reads
  int64_t horizon = 0;  // rows from the last of them to the target
  int64_t stride = 1;   // rows from one sample to the next
};

struct SplitRecipe {
  SplitKind kind = SplitKind::chronological;
  double train = 1, validation = 0, test = 0;  // fractions; boundaries are floor(n*train), floor(n*(train+validation))
  double skip = 0;                             // the fraction before all others, which no part has
  uint64_t seed = 0;                           // random
  std::string column;                          // column: the cell says which part a row belongs to
  std::vector<std::string> train_values, validation_values, test_values;
};

/// How numbers are written in cells, as pandas' read_csv takes it: 1.234,5 has the decimal mark ',' and thousands by '.'.
struct NumberFormat {
  char decimal = '.';
  char thousands = '\0';  // may follow each digit before the decimal mark; '\0' = there is none
};

struct DataRecipe {
  SourceKind source = SourceKind::csv;
  std::string path;       // csv; a session may read another file by the same recipe
  std::string separator;  // one character; empty = found by looking (, ; tab)
  NumberFormat numbers;
  TextEncoding encoding = TextEncoding::automatic;
  MissingRecipe missing;
  std::vector<std::string> missing_values = {"", "NA", "N/A", "NaN", "nan", "null", "NULL"};
  std::vector<InputRecipe> inputs;
  std::vector<TargetRecipe> targets;
  std::string sample_weight;  // csv: a column; npy: a file; empty = every sample counts one
  TimeRecipe time;
  std::vector<RowFilter> filters;
  bool windowed = false;
  WindowRecipe window;
  SplitRecipe split;
};

// ---- fit -------------------------------------------------------------------------------------------------------

/// Every hyperparameter is spelled out with Keras 3's default for the optimizer named. Those that an optimizer does
/// not have are ignored. Names are Keras' class names in lower case: sgd, rmsprop, adam, adamw, adagrad, adadelta,
/// adamax, nadam.
struct OptimizerRecipe {
  std::string name = "adam";
  double learning_rate = 0.001;
  double momentum = 0;  // sgd, rmsprop
  bool nesterov = false;
  double rho = 0.9;  // rmsprop, adadelta (0.95)
  bool centered = false;
  double beta_1 = 0.9, beta_2 = 0.999;
  double epsilon = 1e-7;
  bool amsgrad = false;
  double initial_accumulator_value = 0.1;  // adagrad
  double weight_decay = 0;                 // 0 = none (adamw: 0.004)
  std::optional<double> clipnorm, global_clipnorm, clipvalue;
  std::string arguments;  // JSON object of what has no field of its own; the compiler's business
};

struct LossRecipe {
  std::string output;                       // empty where the model has only one
  std::string name = "mean_squared_error";  // Keras 3's function name, never an abbreviation
  double weight = 1;                        // loss_weights
  bool from_logits = false;
  double label_smoothing = 0;
  double delta = 1;            // huber
  std::string arguments = {};  // as in OptimizerRecipe
};

struct MetricRecipe {
  std::string output;
  std::string name;        // resolved Keras 3 name: mean_absolute_error, binary_accuracy, r2_score, ...
  std::string label;       // the key in the history, as the user wrote it ("mae" stays "mae")
  double threshold = 0.5;  // binary_accuracy and the like
  bool from_logits = false;
  std::string arguments = {};  // as in OptimizerRecipe
  bool weighted = false;       // Keras' weighted_metrics
};

enum class MonitorMode : uint8_t { automatic, min, max };

/// Keras' EarlyStopping, with Keras 3's semantics.
struct EarlyStoppingRecipe {
  std::string monitor = "val_loss";
  int64_t patience = 0;
  double min_delta = 0;
  MonitorMode mode = MonitorMode::automatic;
  std::optional<double> baseline;
  int64_t start_from_epoch = 0;
  bool restore_best_weights = false;
};

/// Keras' ModelCheckpoint at the end of epochs; files go to the run directory.
struct ModelCheckpointRecipe {
  std::string monitor = "val_loss";
  MonitorMode mode = MonitorMode::automatic;
  bool save_best_only = false;
};

/// Keras' ReduceLROnPlateau.
struct ReduceOnPlateauRecipe {
  std::string monitor = "val_loss";
  MonitorMode mode = MonitorMode::automatic;
  double factor = 0.1;
  int64_t patience = 10;
  double min_delta = 1e-4;
  int64_t cooldown = 0;
  double min_lr = 0;
};

/// Keras' LearningRateScheduler with a named schedule of the epoch.
struct EpochRatesRecipe {
  std::string schedule;       // JSON, as the recipe says it
  std::vector<double> rates;  // from the first epoch on; the last one stays
};

/// Keras' CSVLogger; the file goes to the run directory.
struct CsvLoggerRecipe {
  std::string filename = "log.csv";
  std::string separator = ",";
  bool append = false;
};

struct ClassWeight {
  int64_t label = 0;
  double weight = 1;
};

enum class ValidationFrom : uint8_t {
  none,
  data_split,       // the validation part of DataRecipe::split
  last_of_training  // Keras' validation_split: the last n - floor(n*(1-validation_split)) training samples
};

struct FitRecipe {
  OptimizerRecipe optimizer;
  std::vector<LossRecipe> losses;  // one per output, in the order of DataRecipe::targets
  std::vector<MetricRecipe> metrics;
  int64_t epochs = 1;
  int64_t batch_size = 32;
  bool shuffle = true;
  uint64_t seed = 0;
  ValidationFrom validation = ValidationFrom::none;
  double validation_split = 0;
  std::vector<ClassWeight> class_weight;
  std::optional<EarlyStoppingRecipe> early_stopping;
  std::optional<ModelCheckpointRecipe> model_checkpoint;
  int64_t checkpoint_every_steps = 0;  // 0 = at the end of every epoch only
  int64_t steps_per_epoch = 0;         // 0 = as many as the data have
  int64_t initial_epoch = 0;           // the first one; epochs counts from 0 all the same
  int64_t validation_freq = 1;         // validation behind every so many epochs
  std::optional<ReduceOnPlateauRecipe> reduce_lr_on_plateau;
  std::optional<EpochRatesRecipe> learning_rate_scheduler;
  std::optional<CsvLoggerRecipe> csv_logger;
  std::vector<std::string> frozen;  // layers that keep their weights
};

// ---- fitted ----------------------------------------------------------------------------------------------------

/// What was learned about one source column; fill values from the training rows.
struct FittedColumn {
  std::string column;
  EncoderKind encoder = EncoderKind::numeric;
  // one_hot, ordinal: of all used rows, so that no part meets an unknown one. string_lookup: the vocabulary
  std::vector<std::string> categories;
  std::string time_format;              // date_parts
  bool has_fill = false;
  double fill = 0;        // numeric and cyclic
  std::string fill_text;  // categories
};

/// The encoded columns of one input or target with the numbers for Normalization: (x - mean) / sqrt(variance).
///   standard: mean and population variance of the training rows; minmax: mean = min, variance = (max-min)^2;
///   none: 0 and 1. A column that is constant in the training rows has variance 1.
struct FittedGroup {
  std::string name;
  std::vector<std::string> features;  // one per encoded column, such as "Seasons=Winter"
  std::vector<double> mean, variance;
  bool scaled = false;  // some column has a scaler
};

struct Fitted {
  std::vector<FittedColumn> columns;
  std::vector<FittedGroup> inputs, targets;
  std::string separator;  // as found
  TextEncoding encoding = TextEncoding::automatic;
  std::string time_format;  // as found
  int64_t training_rows = 0;
  uint64_t data_fingerprint = 0;  // of the file's bytes
  int64_t row_seconds = 0;        // from each row of a series to the next, as a rule; 0 where there is none
};

// ---- all -------------------------------------------------------------------------------------------------------

struct Recipe {
  std::string name;
  std::string file = {};  // where it was read from, for messages; not kept
  std::string model;  // path of the model's file; empty where the recipe travels inside the model
  std::string initial_weights = {};  // path of a model whose weights are taken by name; read by the tools only
  std::string dtype_policy = {};     // of the model, where it is not the model's own; read by the tools only
  DataRecipe data;
  FitRecipe fit;
  std::optional<Fitted> fitted;  // present once the training part has been seen
};

/// What the recipe says of the model's output `output`: by name, else the only one if that has no name; null where it says
/// nothing.
const TargetRecipe* find_target(const DataRecipe& data, std::string_view output);
const LossRecipe* find_loss(const FitRecipe& fit, std::string_view output);

/// An error of the recipe as a whole: its file, or "recipe" where it has none, and `what`, which ends in a hint.
Status recipe_error(const Recipe& recipe, const std::string& what, StatusCode code = StatusCode::invalid_argument);

/// The FlatBuffer (file identifier "MORR") of a recipe.
std::vector<std::byte> write_recipe(const Recipe& recipe);

/// Reads what write_recipe wrote. The bytes may come from anywhere: they are verified, and everything is checked by
/// check_recipe before it is handed out.
Result<Recipe> read_recipe(std::span<const std::byte> bytes);

/// The semantic rules that hold however a recipe came about (JSON, bytes, C++): sizes positive, fractions that sum to
/// at most one, an encoder's needs, no column of the future among the inputs, callbacks that monitor what there is. The
/// message names the part ("input 'x', column 'Hour'", "fit.batch_size") and the remedy.
Status check_recipe(const Recipe& recipe);

}  // namespace moru
