// "data" of a recipe: source, columns, window, split.
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>

#include "runtime/data/encode.h"
#include "runtime/data/time_text.h"
#include "runtime/data/wording.h"
#include "tools/recipe/recipe_sections.h"

namespace moru::recipe_json {
namespace {

const std::vector<std::pair<const char*, ScalerKind>> scalers = {
    {"standard", ScalerKind::standard}, {"minmax", ScalerKind::minmax}, {"none", ScalerKind::none}};

/// What a group of columns passes on to those that do not say otherwise.
struct GroupDefaults {
  ScalerKind numeric_scaler = ScalerKind::none;
  bool windowed = false;
  bool npy = false;
  std::string directory;
};

char read_character(const Value& value, const char* example) {
  const std::string text = value.text();
  if (text.size() != 1) value.fail("'" + text + "' is not one character", std::string("write one, such as ") + example + ", or leave it out");
  return text[0];
}

MissingRecipe read_missing(const Value& value) {
  MissingRecipe missing;
  if (value.is_text()) {
    missing.policy = value.choice<MissingPolicy>({{"error", MissingPolicy::error}, {"drop", MissingPolicy::drop}});
    return missing;
  }
  Object object(value, "\"error\", \"drop\" or {\"fill\": ...}");
  missing.policy = MissingPolicy::fill;
  missing.fill = object.need("fill", "write {\"fill\": \"mean\"}, \"median\", \"previous\" or \"constant\"")
                     .choice<FillKind>({{"mean", FillKind::mean},
                                        {"median", FillKind::median},
                                        {"previous", FillKind::previous},
                                        {"constant", FillKind::constant}});
  const auto constant = object.find("value");
  if (missing.fill == FillKind::constant) {
    if (!constant) value.fail("a constant fill needs a value", "add \"value\"");
    if (constant->is_array()) constant->fail("is a list", "write one value");
    // Which of the two is meant, the column's encoder says.
    missing.text = constant->texts().at(0);
    missing.constant = parse_number(missing.text).value_or(std::numeric_limits<double>::quiet_NaN());
  } else if (constant) {
    constant->fail("only a constant fill has a value", "write \"fill\": \"constant\", or leave \"value\" out");
  }
  object.close();
  return missing;
}

std::vector<DatePart> read_parts(const Value& value) {
  std::vector<DatePart> parts;
  for (const Value& part : value.elements("a list of date parts")) {
    parts.push_back(part.choice<DatePart>({{"year", DatePart::year},
                                           {"month", DatePart::month},
                                           {"day", DatePart::day},
                                           {"weekday", DatePart::weekday},
                                           {"day_of_year", DatePart::day_of_year},
                                           {"hour", DatePart::hour},
                                           {"minute", DatePart::minute}}));
  }
  return parts;
}

/// What Keras' StringLookup and Hashing take.
template <typename OnlyFor>
void read_token_options(Object& object, ColumnRecipe& column, OnlyFor only_for) {
  const bool is_lookup = column.encoder == EncoderKind::string_lookup, is_hash = column.encoder == EncoderKind::hashing;
  const auto vocabulary = object.find("vocabulary"), oov = object.find("num_oov_indices"), most = object.find("max_tokens");
  for (const auto* given : {&vocabulary, &oov, &most}) only_for(*given, is_lookup, "string_lookup");
  if (vocabulary) column.categories = vocabulary->texts();
  if (oov) column.oov_indices = oov->integer();
  if (most) column.max_tokens = most->integer();
  const auto bins = object.find("num_bins"), salt = object.find("salt");
  for (const auto* given : {&bins, &salt}) only_for(*given, is_hash, "hashing");
  if (bins) column.bins = bins->integer();
  // Numbers beyond 2^53 do not survive as JSON numbers: they may be written as text.
  const auto word = [](const Value& value) {
    if (!value.is_text()) return static_cast<uint64_t>(value.integer());
    const std::string text = value.text();
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) value.fail("is not a number from 0 up", "write a salt of two numbers");
    return number;
  };
  if (salt && salt->is_array()) {
    for (const Value& one : salt->elements("two numbers")) column.salt.push_back(word(one));
  } else if (salt) {
    column.salt.assign(2, word(*salt));
  }
  const auto mask = object.find(is_hash ? "mask_value" : "mask_token");
  only_for(mask, is_lookup || is_hash, "string_lookup and hashing");
  if (mask) column.mask_token = mask->text();
}

/// One entry of a list of columns: "Hour", {"column": "Hour", ...} or {"columns": ["A", "B"], ...}.
void read_columns(const Value& value, const GroupDefaults& defaults, std::vector<ColumnRecipe>& to) {
  ColumnRecipe column;
  if (value.is_text()) {
    column.column = value.text();
    column.scaler = defaults.numeric_scaler;
    to.push_back(std::move(column));
    return;
  }
  Object object(value, "a column's name or an object with \"column\"");
  const auto single = object.find("column");
  const auto several = object.find("columns");
  if (single.has_value() == several.has_value()) {
    value.fail("needs either \"column\" or \"columns\"", "name one column, or list several that are treated alike");
  }
  const std::vector<std::string> names = several ? several->texts() : std::vector<std::string>{single->text()};
  if (const auto encoder = object.find("encoder")) {
    column.encoder = encoder->choice<EncoderKind>({{"numeric", EncoderKind::numeric},
                                                   {"one_hot", EncoderKind::one_hot},
                                                   {"ordinal", EncoderKind::ordinal},
                                                   {"cyclic", EncoderKind::cyclic},
                                                   {"date_parts", EncoderKind::date_parts},
                                                   {"string_lookup", EncoderKind::string_lookup},
                                                   {"hashing", EncoderKind::hashing}});
  }
  const bool is_category = column.encoder == EncoderKind::one_hot || column.encoder == EncoderKind::ordinal;
  const auto only_for = [&](const std::optional<Value>& given, bool fits, const char* encoders) {
    if (given && !fits)
      given->fail("means nothing to this encoder",
                  std::string("it belongs to ") + encoders + "; set \"encoder\" or leave it out");
  };
  const auto categories = object.find("categories");
  only_for(categories, is_category, "one_hot and ordinal");
  if (categories) column.categories = categories->texts();
  read_token_options(object, column, only_for);
  const auto period = object.find("period");
  only_for(period, column.encoder == EncoderKind::cyclic, "cyclic");
  if (period) column.period = period->number();
  const auto parts = object.find("parts");
  only_for(parts, column.encoder == EncoderKind::date_parts, "date_parts");
  if (parts) column.parts = read_parts(*parts);
  const auto cyclic = object.find("cyclic");
  only_for(cyclic, column.encoder == EncoderKind::date_parts, "date_parts");
  if (cyclic) column.cyclic_parts = cyclic->boolean();
  if (column.encoder == EncoderKind::numeric) column.scaler = defaults.numeric_scaler;
  if (const auto scaler = object.find("scaler")) column.scaler = scaler->choice<ScalerKind>(scalers);
  if (const auto missing = object.find("missing")) column.missing = read_missing(*missing);
  object.close();
  for (const std::string& name : names) {
    column.column = name;
    to.push_back(column);
  }
}

std::vector<ColumnRecipe> read_column_list(const Value& value, const GroupDefaults& defaults) {
  std::vector<ColumnRecipe> columns;
  if (!value.is_array()) {
    read_columns(value, defaults, columns);
    return columns;
  }
  for (const Value& entry : value.elements("a list of columns")) read_columns(entry, defaults, columns);
  return columns;
}

DType read_dtype(const Value& value) {
  return value.choice<DType>({{"f32", DType::f32},
                              {"i32", DType::i32},
                              {"i64", DType::i64},
                              {"float32", DType::f32},
                              {"int32", DType::i32},
                              {"int64", DType::i64}});
}

bool is_column_object(const Value& value) {
  return value.is_object() &&
         (value.json().contains("column") || (value.json().contains("columns") && value.json().contains("encoder")));
}

/// One input or target: a column, a list of columns, the path of a .npy file, or an object
/// {"name", "rows", "dtype", "scaler", "columns" | "npy"}.
template <typename Group>
Group read_group(const Value& value, GroupDefaults defaults, InputRows* rows) {
  Group group;
  if (rows != nullptr) *rows = defaults.windowed ? InputRows::window : InputRows::row;
  if (value.is_text() && defaults.npy) {
    group.path = join_path(defaults.directory, value.text());
    return group;
  }
  if (value.is_text() || value.is_array() || is_column_object(value)) {
    group.columns = read_column_list(value, defaults);
    return group;
  }
  Object object(value, "columns, or an object with \"columns\" or \"npy\"");
  object.read("name", group.name);
  if (const auto dtype = object.find("dtype")) group.type = read_dtype(*dtype);
  if (rows != nullptr) {
    if (const auto which = object.find("rows")) {
      *rows = which->template choice<InputRows>(
          {{"window", InputRows::window}, {"row", InputRows::row}, {"target_row", InputRows::target_row}});
    }
  }
  if (is_integer(group.type)) defaults.numeric_scaler = ScalerKind::none;
  if (const auto scaler = object.find("scaler")) {
    defaults.numeric_scaler = scaler->template choice<ScalerKind>(scalers);
    group.scaler = defaults.numeric_scaler;
  }
  const auto path = object.find("npy");
  const auto columns = object.find("columns");
  if (path.has_value() == columns.has_value())
    value.fail("needs either \"columns\" or \"npy\"", "list the columns, or name the array's file");
  if (path) {
    group.path = join_path(defaults.directory, path->text());
  } else {
    group.columns = read_column_list(*columns, defaults);
    group.scaler = ScalerKind::none;
  }
  object.close();
  return group;
}

/// Inputs or targets by name: {"x": ..., "y": ...} or a list of objects that carry their names.
template <typename Group, typename Read>
std::vector<Group> read_groups(const Value& value, Read read_one) {
  std::vector<Group> groups;
  if (value.is_object()) {
    for (const auto& [name, member] : value.members("an object of inputs or targets by name")) {
      groups.push_back(read_one(member));
      groups.back().name = name;
    }
  } else {
    for (const Value& member : value.elements("an object by name, or a list")) {
      if (!member.is_object() || is_column_object(member)) {
        member.fail("is not an object with \"columns\" or \"npy\"", "write {\"name\": ..., \"columns\": [...]}");
      }
      groups.push_back(read_one(member));
    }
  }
  return groups;
}

/// Whether any group of "inputs" or "targets" names a .npy file.
bool speaks_of_npy(const Value& value) {
  const std::string text = value.json().dump();
  return text.find(".npy\"") != std::string::npos || text.find("\"npy\"") != std::string::npos;
}

void read_window(const Value& value, DataRecipe& data, bool& include_target) {
  Object object(value, "an object with \"length\" and \"horizon\"");
  data.windowed = true;
  data.window.length = object.need("length", "set the number of rows that one sample looks back on").integer();
  data.window.horizon =
      object.need("horizon", "set the number of rows from the window's last one to the target").integer();
  object.read("stride", data.window.stride);
  object.read("include_target", include_target);
  object.close();
}

SplitRecipe read_split(const Value& value) {
  SplitRecipe split;
  if (value.is_array()) {
    const std::vector<Value> fractions = value.elements("a list of fractions");
    if (fractions.size() < 2 || fractions.size() > 3)
      value.fail("needs 2 or 3 fractions", "write [train, validation, test], such as [0.7, 0.15, 0.15]");
    split.train = fractions[0].number();
    split.validation = fractions[1].number();
    if (fractions.size() == 3) split.test = fractions[2].number();
    return split;
  }
  Object object(value, "an object with \"train\", \"validation\" and \"test\"");
  if (const auto kind = object.find("kind")) {
    split.kind = kind->choice<SplitKind>(
        {{"chronological", SplitKind::chronological}, {"random", SplitKind::random}, {"column", SplitKind::column}});
  }
  if (split.kind == SplitKind::column) {
    split.column = object.need("column", "name the column that tells the parts apart").text();
    split.train_values = object.need("train", "list the values that stand for training").texts();
    if (const auto values = object.find("validation")) split.validation_values = values->texts();
    if (const auto values = object.find("test")) split.test_values = values->texts();
    split.train = 1;
  } else {
    split.train = object.need("train", "set the training fraction, such as 0.7").number();
    object.read("validation", split.validation);
    object.read("test", split.test);
    object.read("skip", split.skip);
    if (split.kind == SplitKind::random) {
      if (const auto seed = object.find("seed")) split.seed = seed->seed();
    }
  }
  object.close();
  return split;
}

std::vector<RowFilter> read_filters(const Value& value) {
  std::vector<RowFilter> filters;
  for (const Value& entry : value.elements("a list of {\"column\": ..., \"keep\": [...]}")) {
    Object object(entry, "an object with \"column\" and \"keep\" or \"drop\"");
    RowFilter filter;
    filter.column = object.need("column", "name the column to filter by").text();
    const auto keep = object.find("keep");
    const auto drop = object.find("drop");
    if (keep.has_value() == drop.has_value())
      entry.fail("needs either \"keep\" or \"drop\"", "list the values whose rows stay, or those whose rows go");
    filter.keep = keep.has_value();
    filter.values = (keep ? *keep : *drop).texts();
    object.close();
    filters.push_back(std::move(filter));
  }
  return filters;
}

TimeRecipe read_time(const Value& value) {
  TimeRecipe time;
  if (value.is_text()) {
    time.column = value.text();
    return time;
  }
  Object object(value, "a column's name or an object with \"column\"");
  time.column = object.need("column", "name the column that holds the date").text();
  object.read("hour", time.hour_column);
  object.read("format", time.format);
  object.close();
  return time;
}

}  // namespace

std::string join_path(const std::string& directory, const std::string& path) {
  const std::filesystem::path given(path);
  if (given.is_absolute() || directory.empty()) return path;
  return (std::filesystem::path(directory) / given).lexically_normal().string();
}

DataRecipe read_data(const Value& value, const std::string& directory) {
  Object object(value, "an object with \"csv\", \"features\" and \"target\"");
  DataRecipe data;
  if (const auto csv = object.find("csv")) data.path = join_path(directory, csv->text());
  object.read("separator", data.separator);
  if (data.separator == "auto") data.separator.clear();
  if (const auto decimal = object.find("decimal")) data.numbers.decimal = read_character(*decimal, "\",\"");
  if (const auto thousands = object.find("thousands")) data.numbers.thousands = read_character(*thousands, "\".\"");
  if (const auto encoding = object.find("encoding")) {
    data.encoding = encoding->choice<TextEncoding>({{"auto", TextEncoding::automatic},
                                                    {"utf-8", TextEncoding::utf8},
                                                    {"latin-1", TextEncoding::latin1},
                                                    {"cp949", TextEncoding::cp949}});
  }
  if (const auto missing = object.find("missing")) data.missing = read_missing(*missing);
  if (const auto values = object.find("missing_values")) data.missing_values = values->texts();
  bool include_target = false;
  if (const auto window = object.find("window")) read_window(*window, data, include_target);

  GroupDefaults defaults;
  defaults.windowed = data.windowed;
  defaults.directory = directory;
  if (const auto scaler = object.find("scaler")) defaults.numeric_scaler = scaler->choice<ScalerKind>(scalers);
  const auto features = object.find("features");
  const auto inputs = object.find("inputs");
  const auto target = object.find("target");
  const auto targets = object.find("targets");
  if (features.has_value() == inputs.has_value())
    value.fail("needs either \"features\" or \"inputs\"", "list the feature columns, or the model's inputs by name");
  if (target.has_value() == targets.has_value())
    value.fail("needs either \"target\" or \"targets\"", "name the target column, or the model's outputs by name");
  defaults.npy = inputs && speaks_of_npy(*inputs);
  if (defaults.npy) data.source = SourceKind::npy;
  if (defaults.npy && !data.path.empty()) object.find("csv")->fail("the inputs are .npy arrays", "leave \"csv\" out");

  const auto read_input = [&](const Value& one) {
    InputRows rows = InputRows::row;
    InputRecipe input = read_group<InputRecipe>(one, defaults, &rows);
    input.rows = rows;
    return input;
  };
  GroupDefaults target_defaults = defaults;
  target_defaults.numeric_scaler = ScalerKind::none;
  const auto read_target = [&](const Value& one) { return read_group<TargetRecipe>(one, target_defaults, nullptr); };
  if (inputs)
    data.inputs = read_groups<InputRecipe>(*inputs, read_input);
  else
    data.inputs.push_back(read_input(*features));
  if (targets)
    data.targets = read_groups<TargetRecipe>(*targets, read_target);
  else
    data.targets.push_back(read_target(*target));

  if (include_target) {
    // The target's own past, in front of the other features, scaled as they are.
    std::vector<ColumnRecipe> history;
    for (const TargetRecipe& one : data.targets) {
      for (ColumnRecipe column : one.columns) {
        if (column.encoder == EncoderKind::numeric && column.scaler == ScalerKind::none)
          column.scaler = defaults.numeric_scaler;
        history.push_back(std::move(column));
      }
    }
    for (InputRecipe& input : data.inputs) {
      if (input.rows == InputRows::window) input.columns.insert(input.columns.begin(), history.begin(), history.end());
    }
  }
  if (const auto weight = object.find("sample_weight")) {
    data.sample_weight = defaults.npy ? join_path(directory, weight->text()) : weight->text();
  }
  if (const auto time = object.find("time")) data.time = read_time(*time);
  if (const auto filters = object.find("filters")) data.filters = read_filters(*filters);
  if (const auto split = object.find("split")) data.split = read_split(*split);
  object.close();
  return data;
}

}  // namespace moru::recipe_json
