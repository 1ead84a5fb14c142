// Recipes that are wrong.
#include "tests/errors/wrong.h"

namespace moru::test {

std::vector<Wrong> wrong_recipes() {
  return {
      with({{"r_syntax.json", "{\"model\": \"model.json\",\n \"data\": }"}},
           {"a recipe with broken syntax",
            {"train", "@/r_syntax.json", "--run-dir", "@/r"},
            1,
            "error: @/r_syntax.json: is not valid JSON at line 2, column 10: unexpected '}'; expected '[', '{', or a "
            "literal\n"}),
      with({{"r_key.json", recipe_with("\"epochs\"", "\"epoch\"")}},
           {"a misspelt key",
            {"train", "@/r_key.json", "--run-dir", "@/r"},
            1,
            "error: @/r_key.json: fit: \"epoch\" is not known here\n"
            "  hint: did you mean 'epochs'?\n"}),
      with({{"r_column.json", recipe_with("\"c\"]", "\"cc\"]")}},
           {"a column that is not there",
            {"train", "@/r_column.json", "--run-dir", "@/r"},
            1,
            "error: @/data.csv: has no column 'cc'\n"
            "  hint: did you mean 'c'?\n"}),
      with({{"r_model.json", SmallProject::recipe("lost.json")}},
           {"a recipe whose model is not there",
            {"train", "@/r_model.json", "--run-dir", "@/r"},
            1,
            "error: there is no '@/lost.json', the model of the recipe '@/r_model.json'\n"}),
      with({{"r_no_model.json", recipe_with("\"model\": \"model.json\",", "")}},
           {"a recipe without a model",
            {"train", "@/r_no_model.json", "--run-dir", "@/r"},
            1,
            "error: the recipe '@/r_no_model.json' names no model\n"
            "  hint: add \"model\": \"MODEL.json\"\n"}),
      with({{"r_nested.json", SmallProject::recipe("recipe.json")}},
           {"a recipe that names a recipe",
            {"train", "@/r_nested.json", "--run-dir", "@/r"},
            1,
            "error: '@/recipe.json' is a recipe, but a recipe's \"model\" must be a model\n"}),
      with({{"r_data.json", SmallProject::recipe("model.json", "lost.csv")}},
           {"a recipe whose data are not there",
            {"train", "@/r_data.json", "--run-dir", "@/r"},
            1,
            "error: @/lost.csv: cannot be opened: No such file or directory\n"
            "  hint: check the path; \"csv\" in a recipe is relative to the recipe\n"}),
      with({{"r_width.json", SmallProject::recipe("model.json", "data.csv", "{\"columns\": [\"a\", \"b\"], \"scaler\": \"standard\"}")}},
           {"fewer columns than the model takes",
            {"train", "@/r_width.json", "--run-dir", "@/r"},
            1,
            "error: the input 'x' of model.json takes [3] per sample, but r_width.json gives it [2]\n"
            "  its 2 columns are a, b\n"
            "  hint: change the shape of the model's input, or the recipe's columns and window\n"}),
      {"the same when compiling",
       {"compile", "@/model.json", "--recipe", "@/r_width.json", "-o", "@/out.so"},
       1,
       "error: the input 'x' of model.json takes [3] per sample, but r_width.json gives it [2]\n"
       "  its 2 columns are a, b\n"
       "  hint: change the shape of the model's input, or the recipe's columns and window\n"},
      with({{"r_wide.json", SmallProject::recipe("wide.json")},
            {"wide.json", model_of(R"({"class_name": "Dense", "config": {"name": "y", "units": 1}})", "5")}},
           {"a model that takes more columns",
            {"train", "@/r_wide.json", "--run-dir", "@/r"},
            1,
            "error: the input 'x' of wide.json takes [5] per sample, but r_wide.json gives it [3]\n"
            "  its 3 columns are a, b, c\n"
            "  hint: change the shape of the model's input, or the recipe's columns and window\n"}),
      with({{"r_target.json", SmallProject::recipe("two_units.json")},
            {"two_units.json", model_of(R"({"class_name": "Dense", "config": {"name": "y", "units": 2}})")}},
           {"more units than the target has columns",
            {"train", "@/r_target.json", "--run-dir", "@/r"},
            1,
            "error: the output 'y' of two_units.json is [2] per sample, but the target in r_target.json is [1]\n"
            "  its 1 column is y\n"
            "  hint: give the last layer as many units as the target has columns, or change the target\n"}),
      with({{"r_window.json", recipe_with("\"split\"", "\"window\": {\"length\": 24, \"horizon\": 1}, \"split\"")}},
           {"a window for a model without a time axis",
            {"train", "@/r_window.json", "--run-dir", "@/r"},
            1,
            "error: the input 'x' of model.json takes [3] per sample, but r_window.json gives it [24, 3]\n"
            "  its 3 columns are a, b, c\n"
            "  hint: change the shape of the model's input, or the recipe's columns and window\n"}),
      with({{"r_output.json", recipe_with("\"target\": {\"column\": \"y\", \"scaler\": \"standard\"}", "\"targets\": {\"z\": {\"column\": \"y\"}}")}},
           {"a target the model lacks",
            {"train", "@/r_output.json", "--run-dir", "@/r"},
            1,
            "error: the recipe has an output 'z', which the model lacks\n"
            "  hint: the model's outputs are 'y'\n"}),
      with({{"r_loss_output.json", recipe_with(R"("loss": "mse")", R"("loss": {"z": "mse"})")}},
           {"a loss of an output the model lacks",
            {"train", "@/r_loss_output.json", "--run-dir", "@/r"},
            1,
            "error: the recipe has an output 'z', which the model lacks\n"
            "  hint: the model's outputs are 'y'\n"}),
      with({{"r_classes.json", recipe_with(R"("loss": "mse")", R"("loss": "sparse_categorical_crossentropy")")}},
           {"a scaler of class numbers",
            {"train", "@/r_classes.json", "--run-dir", "@/r"},
            1,
            "error: @/r_classes.json: data.target: sparse_categorical_crossentropy compares with class numbers, and a scaler makes "
            "other numbers of them\n"
            "  hint: remove the scaler\n"}),
      with({{"r_label.json", recipe_with(R"(["mae"])", R"([{"name": "mae", "label": "loss"}])")}},
           {"a metric that is called as the loss",
            {"train", "@/r_label.json", "--run-dir", "@/r"},
            1,
            "error: @/r_label.json: fit.metrics: 'loss' is what the loss itself is called\n"
            "  hint: give the metric another \"label\"\n"}),
      with({{"r_no_csv.json", recipe_with(R"("csv": "data.csv", )", "")}},
           {"no table at all",
            {"train", "@/r_no_csv.json", "--run-dir", "@/r"},
            1,
            "error: @/r_no_csv.json: data: names no CSV file\n"
            "  hint: set \"csv\" in the recipe, or give --data FILE.csv\n"}),
      with({{"r_late.json", recipe_with(R"("epochs": 3)", R"("epochs": 5, "initial_epoch": 4)")}},
           {"fewer epochs on the command line than the recipe begins with",
            {"train", "@/r_late.json", "--run-dir", "@/r", "--epochs", "2"},
            1,
            "error: @/r_late.json: fit.initial_epoch: leaves no epoch of 2\n"
            "  hint: \"epochs\" counts from 0, so give more of them\n"}),
      with({{"r_plateau.json", recipe_with(R"("epochs": 3)", R"("epochs": 3, "callbacks": {"reduce_lr_on_plateau": {"factor": 1.5}})")}},
           {"a plateau of another shape",
            {"train", "@/r_plateau.json", "--run-dir", "@/r"},
            1,
            "error: @/r_plateau.json: fit.callbacks.reduce_lr_on_plateau.factor: 1.5 is out of range\n"
            "  hint: it must be at least 0 and below 1\n"}),
      with({{"r_loss.json", recipe_with("\"mse\"", "\"msee\"")}},
           {"a misspelt loss",
            {"train", "@/r_loss.json", "--run-dir", "@/r"},
            1,
            "error: @/r_loss.json: fit.loss: 'msee' is not a loss\n"
            "  hint: the losses are: mean_squared_error, mean_absolute_error, mean_absolute_percentage_error, "
            "mean_squared_logarithmic_error, huber, log_cosh, binary_crossentropy, categorical_crossentropy, "
            "sparse_categorical_crossentropy, kl_divergence, poisson, hinge, and 9 more\n"}),
      with({{"r_metric.json", recipe_with("[\"mae\"]", "[\"maee\"]")}},
           {"a misspelt metric",
            {"train", "@/r_metric.json", "--run-dir", "@/r"},
            1,
            "error: @/r_metric.json: fit.metrics[0]: 'maee' is not a metric\n"
            "  hint: the metrics are: mean_squared_error, mean_absolute_error, mean_absolute_percentage_error, "
            "mean_squared_logarithmic_error, huber, log_cosh, binary_crossentropy, categorical_crossentropy, "
            "sparse_categorical_crossentropy, kl_divergence, poisson, hinge, and 37 more\n"}),
      with({{"r_optimizer.json", recipe_with("\"adam\"", "\"adamm\"")}},
           {"a misspelt optimizer",
            {"train", "@/r_optimizer.json", "--run-dir", "@/r"},
            1,
            "error: @/r_optimizer.json: fit.optimizer.name: 'adamm' is not an optimizer\n"
            "  hint: did you mean 'adam'?\n"}),
      with({{"r_split.json", recipe_with("\"train\": 0.7", "\"train\": 0.9")}},
           {"parts that sum to more than one",
            {"train", "@/r_split.json", "--run-dir", "@/r"},
            1,
            "error: @/r_split.json: data.split: train, validation and test add up to 1.2\n"
            "  hint: they must not exceed 1\n"}),
      with({{"r_batch.json", recipe_with("\"batch_size\": 16", "\"batch_size\": 0")}},
           {"a batch size of zero",
            {"train", "@/r_batch.json", "--run-dir", "@/r"},
            1,
            "error: @/r_batch.json: fit.batch_size: 0 is out of range\n"
            "  hint: it must be at least 1\n"}),
      with({{"r_monitor.json", recipe_with("\"epochs\": 3", "\"epochs\": 3, \"callbacks\": {\"early_stopping\": {\"monitor\": \"val_auc\"}}")}},
           {"a callback that monitors nothing",
            {"train", "@/r_monitor.json", "--run-dir", "@/r"},
            1,
            "error: callback 'early_stopping' monitors 'val_auc', which this run does not measure; it measures loss, mae, "
            "val_loss, val_mae\n"}),
      {"a model where a recipe is needed",
       {"train", "@/model.json", "--run-dir", "@/r"},
       1,
       "error: '@/model.json' carries no recipe, so it is not known what the columns of a CSV mean\n"
       "  hint: give a recipe, or a model that `moru train` made\n"},
  };
}

}  // namespace moru::test
