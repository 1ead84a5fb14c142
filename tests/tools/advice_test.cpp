// What moru train says of models and recipes that fit by shape but were hardly meant so; and that it says nothing of
// those that are.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>

#include "tests/tools/moru_process.h"

using namespace moru::test;

namespace {

const std::string columns = R"({"columns": ["a", "b", "c"], "scaler": "standard"})";

std::string dense(const std::string& name, int units, const std::string& activation) {
  return R"({"class_name": "Dense", "config": {"name": ")" + name + R"(", "units": )" + std::to_string(units) + R"(, "activation": ")" +
         activation + "\"}}";
}

std::string recipe(const std::string& target, const std::string& loss, const std::string& more = "", const std::string& window = "") {
  return R"({"model": "model.json", "data": {"csv": "data.csv", "features": [)" + columns + R"(], "target": )" + target + window +
         R"(, "split": [0.7, 0.15, 0.15]}, "fit": {"loss": )" + loss + more + R"(, "epochs": 1, "batch_size": 16}})";
}

/// a, b, c; a number y around 50, one with negative values, a class number of three, one of two, and a label.
std::string table() {
  std::string text = "a,b,c,y,signed,three,two,label\n";
  for (int i = 0; i < 120; ++i) {
    const double a = (i * 37 % 101) / 10.0, b = (i * 53 % 97) / 5.0, c = (i * 29 % 89) * 3.0, y = 3 * a - b + 0.1 * c;
    const char* labels[] = {"low", "middle", "high"};
    text += std::to_string(a) + "," + std::to_string(b) + "," + std::to_string(c) + "," + std::to_string(y + 50) + "," +
            std::to_string(y - 20) + "," + std::to_string(i % 3) + "," + std::to_string(i % 2) + "," + labels[i % 3] + "\n";
  }
  return text;
}

struct Case {
  std::string name, layers, recipe, said;
};

const std::string y = R"({"column": "y"})", scaled = R"({"column": "y", "scaler": "standard"})", below = R"({"column": "signed"})",
                  three = R"({"column": "three", "encoder": "ordinal", "categories": ["0", "1", "2"]})",
                  numbered = three, floats = R"({"columns": [{"column": "three", "encoder": "ordinal", "categories": ["0", "1", "2"]}], "dtype": "f32"})",
                  two = R"({"column": "two", "encoder": "ordinal", "categories": ["0", "1"]})",
                  one_hot = R"({"column": "label", "encoder": "one_hot"})", number = R"({"column": "three"})";
const std::string hidden = dense("h", 8, "tanh") + ", ";
const std::string windowed = R"(, "window": {"length": 4, "horizon": 1})";
const std::string lstm = R"({"class_name": "LSTM", "config": {"name": "memory", "units": 4, "return_sequences": true}}, )";

const Case warned[] = {
    {"sigmoid over classes that exclude each other", hidden + dense("y", 3, "sigmoid"), recipe(one_hot, R"("categorical_crossentropy")"),
     "warning: layer 'y' (Dense) ends with sigmoid, but categorical_crossentropy wants the probabilities of 3 classes: use softmax, "
     "or binary_crossentropy for labels that go together\n"},
    {"no probabilities", hidden + dense("y", 3, "linear"), recipe(numbered, R"("sparse_categorical_crossentropy")"),
     "warning: layer 'y' (Dense) ends with linear, but sparse_categorical_crossentropy wants probabilities: use softmax, or a linear "
     "output with from_logits\n"},
    {"no probability", hidden + dense("y", 1, "tanh"), recipe(two, R"("binary_crossentropy")"),
     "warning: layer 'y' (Dense) ends with tanh, but binary_crossentropy wants probabilities: use sigmoid, or a linear output with "
     "from_logits\n"},
    {"softmax twice", hidden + dense("y", 3, "softmax"), recipe(one_hot, R"({"name": "categorical_crossentropy", "from_logits": true})"),
     "warning: layer 'y' (Dense) ends with softmax, but categorical_crossentropy has from_logits, which applies it once more: remove "
     "one of them\n"},
    {"sigmoid twice", hidden + dense("y", 1, "sigmoid"), recipe(two, R"({"name": "binary_crossentropy", "from_logits": true})"),
     "warning: layer 'y' (Dense) ends with sigmoid, but binary_crossentropy has from_logits, which applies it once more: remove one of "
     "them\n"},
    {"classes one by one", hidden + dense("y", 3, "softmax"), recipe(one_hot, R"("binary_crossentropy")"),
     "warning: layer 'y' (Dense) ends with softmax over 3 classes, but binary_crossentropy judges each alone: use "
     "categorical_crossentropy, or sigmoid for labels that go together\n"},
    {"relu for negative values", hidden + dense("y", 1, "relu"), recipe(below, R"("mse")"),
     "warning: layer 'y' (Dense) ends with relu, which yields nothing below 0, but the target has values from "},
    {"relu for scaled values", hidden + dense("y", 1, "relu"), recipe(scaled, R"("mse")"),
     "warning: layer 'y' (Dense) ends with relu, which yields nothing below 0, but the target is scaled to mean 0 and deviation 1: an "
     "output of numbers is linear, as a rule\n"},
    {"sigmoid for large values", hidden + dense("y", 1, "sigmoid"), recipe(y, R"("mae")"),
     "warning: layer 'y' (Dense) ends with sigmoid, which yields values from 0 to 1, but the target has values from "},
    {"class numbers for a loss of two classes", hidden + dense("y", 1, "sigmoid"), recipe(number, R"("binary_crossentropy")"),
     "warning: output 'y': binary_crossentropy compares with values from 0 to 1, but the target has values from 0 to 2\n"},
    {"accuracy of numbers", hidden + dense("y", 1, "linear"), recipe(y, R"("mse")", R"(, "metrics": ["accuracy"])"),
     "warning: metric 'accuracy' counts equal classes, but 'y' is trained with mean_squared_error on numbers: use mae, rmse or r2_score\n"},
    {"the area under a curve of numbers", hidden + dense("y", 1, "linear"), recipe(scaled, R"("mse")", R"(, "metrics": ["AUC"])"),
     "warning: metric 'AUC' judges probabilities of classes, but 'y' is trained with mean_squared_error on numbers: use mae, rmse or "
     "r2_score\n"},
    {"precision of numbers", hidden + dense("y", 1, "linear"), recipe(y, R"("huber")", R"(, "metrics": ["Precision"])"),
     "warning: metric 'Precision' judges probabilities of classes, but 'y' is trained with huber on numbers: use mae, rmse or r2_score\n"},
    {"weights of classes for numbers", hidden + dense("y", 1, "linear"), recipe(y, R"("mae")", R"(, "class_weight": {"1": 5})"),
     "warning: class_weight takes the target for class numbers, but 'y' is trained with mean_absolute_error on numbers: leave it out, or "
     "give samples their weights in a column, by sample_weight\n"},
    {"two linear layers", dense("h", 8, "linear") + ", " + dense("y", 1, "linear"), recipe(y, R"("mse")"),
     "warning: layers 'h' and 'y' (Dense) are one linear layer together: give 'h' an activation, or leave it out\n"},
};

const Case refused[] = {
    {"softmax over one unit", hidden + dense("y", 1, "softmax"), recipe(two, R"("binary_crossentropy")"),
     "error: layer 'y' (Dense): ends with softmax over one unit, which is always 1, so that nothing can be learned\n"
     "  hint: use sigmoid with binary_crossentropy for two classes, or one unit for each class\n"},
    {"one class", hidden + dense("y", 1, "sigmoid"), recipe(two, R"("categorical_crossentropy")"),
     "error: layer 'y' (Dense): has one unit, but categorical_crossentropy compares classes, and of one class it is always 0\n"
     "  hint: use binary_crossentropy (with sigmoid) for two classes, or one unit for each class\n"},
    {"class numbers for a loss of vectors", hidden + dense("y", 3, "softmax"), recipe(three, R"("categorical_crossentropy")"),
     "error: layer 'y' (Dense): yields 3 scores, which categorical_crossentropy compares with as many numbers, but the target is one "
     "number\n"
     "  hint: use sparse_categorical_crossentropy, or give the target \"encoder\": \"one_hot\"\n"},
    {"a mean squared error of class numbers", hidden + dense("y", 3, "softmax"), recipe(three, R"("mse")"),
     "error: layer 'y' (Dense): yields 3 scores, which mean_squared_error compares with as many numbers, but the target is one number\n"
     "  hint: use sparse_categorical_crossentropy, or give the target \"encoder\": \"one_hot\"\n"},
    {"class numbers as floats", hidden + dense("y", 3, "softmax"), recipe(floats, R"("sparse_categorical_crossentropy")"),
     "error: layer 'y' (Dense): is compared by sparse_categorical_crossentropy with class numbers, which are integers, but the target "
     "is f32\n"
     "  hint: leave the target's \"dtype\" out, or write \"i32\"\n"},
    {"every step where one is wanted", lstm + dense("y", 1, "linear"), recipe(y, R"("mse")", "", windowed),
     "error: layer 'y' (Dense): yields [4, 1] per sample, one result for each of 4 steps, but the target is [1] per sample\n"
     "  hint: set return_sequences=false on 'memory', or put a Flatten before 'y'\n"},
    {"classes of every step where one is wanted", lstm + dense("y", 3, "softmax"),
     recipe(numbered, R"("sparse_categorical_crossentropy")", "", windowed),
     "error: layer 'y' (Dense): yields [4, 3] per sample, one result for each of 4 steps, but the target is [1] per sample\n"
     "  hint: set return_sequences=false on 'memory', or put a Flatten before 'y'\n"},
    {"a forgotten Flatten", hidden + dense("y", 1, "linear"), recipe(y, R"("mse")", "", windowed),
     "error: layer 'y' (Dense): yields [4, 1] per sample, one result for each of 4 steps, but the target is [1] per sample\n"
     "  hint: put a Flatten or a pooling layer before 'y'\n"},
};

const Case silent[] = {
    {"a regression", hidden + dense("y", 1, "linear"), recipe(scaled, R"("mse")", R"(, "metrics": ["mae"])"), ""},
    {"positive numbers", hidden + dense("y", 1, "relu"), recipe(y, R"("mse")"), ""},
    {"two classes", hidden + dense("y", 1, "sigmoid"), recipe(two, R"("binary_crossentropy")", R"(, "metrics": ["accuracy"])"), ""},
    {"two classes and their metrics", hidden + dense("y", 1, "sigmoid"),
     recipe(two, R"("binary_crossentropy")", R"(, "metrics": ["AUC", "F1Score", "Recall"], "class_weight": {"1": 3})"), ""},
    {"logits", hidden + dense("y", 1, "linear"), recipe(two, R"({"name": "binary_crossentropy", "from_logits": true})"), ""},
    {"classes by number", hidden + dense("y", 3, "softmax"), recipe(numbered, R"("sparse_categorical_crossentropy")", R"(, "metrics": ["accuracy"])"), ""},
    {"classes one-hot", hidden + dense("y", 3, "softmax"), recipe(one_hot, R"("categorical_crossentropy")"), ""},
    {"labels", hidden + dense("y", 3, "sigmoid"), recipe(one_hot, R"("binary_crossentropy")"), ""},
    {"a narrow linear layer", dense("h", 1, "linear") + ", " + dense("y", 3, "softmax"), recipe(one_hot, R"("categorical_crossentropy")"), ""},
    {"a softmax scored by squares", hidden + dense("y", 3, "softmax"), recipe(one_hot, R"("mse")"), ""},
};

Outcome train(const SmallProject& project, const Case& one, const std::vector<std::string>& flags = {}) {
  const bool window = one.recipe.find("window") != std::string::npos;
  write_file(project / "model.json", SmallProject::model_json(SmallProject::input_layer(window ? "4, 3" : "3") + ", " + one.layers));
  write_file(project / "r.json", one.recipe);
  std::vector<std::string> command = {"train", project / "r.json", "--run-dir", project / "run"};
  command.insert(command.end(), flags.begin(), flags.end());
  return project.moru(command);
}

size_t count(const std::string& text, const std::string& what) {
  size_t found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("advice: what is hardly meant is said in one line, and training goes on") {
  const SmallProject project;
  write_file(project / "data.csv", table());
  for (const Case& one : warned) {
    CAPTURE(one.name);
    std::filesystem::remove_all(project / "run");
    const Outcome outcome = train(project, one);
    CHECK(outcome.code == 0);
    CAPTURE(outcome.err);
    CHECK(outcome.err.find(one.said) != std::string::npos);
    CHECK(count(outcome.err, "warning: ") == 1);
  }
}

TEST_CASE("advice: what cannot work is an error with the remedy") {
  const SmallProject project;
  write_file(project / "data.csv", table());
  for (const Case& one : refused) {
    CAPTURE(one.name);
    const Outcome outcome = train(project, one);
    CHECK(outcome.code == 1);
    CHECK(outcome.err == one.said);
    CHECK(!std::filesystem::exists(project / "run"));
  }
}

TEST_CASE("advice: sound models get no warning, quiet runs do, and events carry it as JSON") {
  const SmallProject project;
  write_file(project / "data.csv", table());
  for (const Case& one : silent) {
    CAPTURE(one.name);
    std::filesystem::remove_all(project / "run");
    const Outcome outcome = train(project, one);
    CHECK(outcome.code == 0);
    CAPTURE(outcome.err);
    CHECK(outcome.err.find("warning") == std::string::npos);
  }
  std::filesystem::remove_all(project / "run");
  CHECK(train(project, warned[0], {"--quiet"}).err == warned[0].said);
  std::filesystem::remove_all(project / "run");
  CHECK(train(project, warned[0], {"--json"}).err.find(R"({"event": "warning", "text": "layer 'y' (Dense) ends with sigmoid, but )") !=
        std::string::npos);
}

TEST_CASE("advice: hours that a series lacks are told once, when it is trained on, evaluated and predicted from") {
  const SmallProject project;
  const auto series = [](int first, int last, int lost) {
    std::string text = "when,v\n";
    for (int hour = first; hour < last; ++hour) {
      if (hour == lost) continue;
      const std::string of_day = std::to_string(hour % 24), day = std::to_string(1 + hour / 24);
      text += "2024-03-" + std::string(day.size() < 2, '0') + day + " " + std::string(of_day.size() < 2, '0') + of_day + ":00," +
              std::to_string((hour * 37 % 101) / 10.0) + "\n";
    }
    return text;
  };
  write_file(project / "model.json", SmallProject::model_json(SmallProject::input_layer("3, 1") + R"(,
      {"class_name": "Flatten", "config": {"name": "flat"}}, {"class_name": "Dense", "config": {"name": "v", "units": 1}})"));
  write_file(project / "r.json", R"({"model": "model.json", "data": {"csv": "data.csv", "time": "when", "features": ["v"], "target": "v",
      "window": {"length": 3, "horizon": 1}, "split": [0.7, 0.15, 0.15]}, "fit": {"loss": "mse", "epochs": 1}})");
  write_file(project / "whole.csv", series(0, 200, -1));
  write_file(project / "data.csv", series(0, 200, 30));
  write_file(project / "few.csv", series(200, 208, 204));
  const std::string first = "warning: rows are missing for 1 hour behind 2024-03-02 05:00:00: windows run over the gap\n",
                    later = "warning: rows are missing for 1 hour behind 2024-03-09 11:00:00: windows run over the gap\n";
  const std::string model = project / "run/model.moru";
  CHECK(project.moru({"train", project / "r.json", "--run-dir", project / "run", "--quiet"}).err == first);
  CHECK(project.moru({"train", model, "--run-dir", project / "again", "--quiet"}).err == first);
  CHECK(project.moru({"train", project / "r.json", "--data", project / "whole.csv", "--run-dir", project / "run", "--quiet"}).err.empty());
  CHECK(project.moru({"evaluate", model, "--data", project / "data.csv"}).err == first);
  CHECK(project.moru({"evaluate", model, "--data", project / "whole.csv"}).err.empty());
  CHECK(project.moru({"predict", model, "--data", project / "few.csv"}).err == later);
  const std::string library = project / "v.so";
  REQUIRE(project.moru({"compile", model, "-o", library}).code == 0);
  const ProcessOptions runtime{.binary = "moru-run"};
  CHECK(project.moru({library, "train", "--data", project / "data.csv", "--run-dir", project / "run", "--quiet"}, runtime).err == first);
  CHECK(project.moru({library, "evaluate", "--data", project / "data.csv"}, runtime).err == first);
  CHECK(project.moru({library, "predict", "--data", project / "few.csv"}, runtime).err == later);
  const Outcome tested = project.moru({"backtest", project / "r.json", "--folds", "2", "--run-dir", project / "back", "--quiet"});
  CHECK(tested.code == 0);
  CHECK(tested.err == first);
}

TEST_CASE("advice: the recipes that come along get no warning on their data") {
  const char* shared = std::getenv("MORU_SHARED");
  const std::string recipes = std::string(MORU_SOURCE_DIR) + "/tools/recipes/";
  const std::pair<const char*, const char*> list[] = {{"bike_lstm", "SeoulBikeData"},
                                                      {"bike_two_inputs", "SeoulBikeData"},
                                                      {"carseats", "Carseats"},
                                                      {"churn", "mobile_cust_churn"},
                                                      {"enb2012", "ENB2012_data"}};
  const SmallProject project;
  for (const auto& [name, table_name] : list) {
    const std::string data = std::string(shared ? shared : MORU_SOURCE_DIR "/../shared") + "/data/" + table_name + ".csv";
    if (!std::filesystem::exists(data)) {
      MESSAGE("skipped: there is no " << data);
      continue;
    }
    CAPTURE(name);
    const Outcome outcome =
        project.moru({"train", recipes + name + ".json", "--data", data, "--epochs", "1", "--run-dir", project / name});
    CHECK(outcome.code == 0);
    CAPTURE(outcome.err);
    CHECK(outcome.err.find("warning") == std::string::npos);
  }
}
