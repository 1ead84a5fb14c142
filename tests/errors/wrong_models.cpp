// Models that are wrong, and files of models that are damaged.
#include "tests/errors/wrong.h"

namespace moru::test {

std::vector<Wrong> wrong_models() {
  return {
      {"a model that is not there",
       {"summary", "@/lost.json"},
       1,
       "error: cannot read '@/lost.json': No such file or directory\n"},
      {"a directory for a model",
       {"summary", "@/nothing_here"},
       1,
       "error: cannot read '@/nothing_here': it is a directory\n"},
      with({{"model.h5", "\x89HDF\r\n\x1a\nnothing more"}},
           {"HDF5",
            {"import", "@/model.h5", "-o", "@/out.moru"},
            1,
            "error: @/model.h5: cannot be read as HDF5: the file is damaged\n"
            "  hint: copy it again from where it came from\n"}),
      with({{"model.keras", "PK\x03\x04"}},
           {"a Keras archive",
            {"import", "@/model.keras", "-o", "@/out.moru"},
            1,
            "error: @/model.keras: cannot be read as a zip archive: Not a zip archive\n"
            "  hint: copy it again from where it came from\n"}),
      with({{"model.onnx", "x"}},
           {"ONNX",
            {"summary", "@/model.onnx"},
            1,
            "error: '@/model.onnx' is no ONNX model, or it is damaged\n"
            "  hint: an ONNX file holds one ModelProto\n"}),
      with({{"model.txt", "x"}},
           {"an unknown ending",
            {"summary", "@/model.txt"},
            1,
            "error: cannot tell what kind of model '@/model.txt' is\n"
            "  hint: a model is a .moru, a compiled .so, Keras' (.keras, .h5, .json) or ONNX (.onnx)\n"}),
      with({{"empty.json", ""}},
           {"an empty JSON file", {"summary", "@/empty.json"}, 1, "error: @/empty.json: is empty\n"}),
      with({{"syntax.json", "{\"class_name\": \"Sequential\", "}},
           {"broken JSON",
            {"summary", "@/syntax.json"},
            1,
            "error: @/syntax.json: is not valid JSON at line 1, column 30: unexpected end of input; expected string "
            "literal\n"}),
      with({{"list.json", "[1, 2]"}},
           {"JSON that is no object",
            {"summary", "@/list.json"},
            1,
            "error: @/list.json: is not a Keras model: expected an object but got [1,2]\n"}),
      with({{"nothing.json", "{\"layers\": []}"}},
           {"JSON that is no model",
            {"summary", "@/nothing.json"},
            1,
            "error: @/nothing.json: is not a Keras model: the key 'class_name' is missing\n"
            "  hint: give it the output of model.to_json()\n"}),
      with({{"layer.json", model_of(R"({"class_name": "Conv9D", "config": {"name": "c"}})")}},
           {"an unknown layer",
            {"summary", "@/layer.json"},
            1,
            "error: @/layer.json: one thing in this model is not supported:\n"
            "  layer 'c' (Conv9D): layers of this class are not supported\n"}),
      with({{"flat_lstm.json", model_of(R"({"class_name": "LSTM", "config": {"name": "lstm_1", "units": 4}},
                                           {"class_name": "LSTM", "config": {"name": "lstm_2", "units": 4}})", "24, 3")}},
           {"a sequence that ended",
            {"summary", "@/flat_lstm.json"},
            1,
            "error: layer 'lstm_2' (LSTM): needs a sequence [batch, time, features] but got [batch, 4]\n"
            "  the input is the output of 'lstm_1', which returns only its last step\n"
            "  hint: set return_sequences=true on 'lstm_1'\n"}),
      with({{"no_units.json", model_of(R"({"class_name": "Dense", "config": {"name": "d"}})")}},
           {"a layer without its size",
            {"summary", "@/no_units.json"},
            1,
            "error: layer 'd' (Dense): needs the attribute 'units' (an integer)\n"}),
      with({{"minus_units.json", model_of(R"({"class_name": "Dense", "config": {"name": "d", "units": -4}})")}},
           {"a layer of negative size",
            {"summary", "@/minus_units.json"},
            1,
            "error: layer 'd' (Dense): attribute 'units' is -4 but must be at least 1\n"}),
      with({{"activation.json", model_of(R"({"class_name": "Dense", "config": {"name": "d", "units": 4, "activation": "rellu"}})")}},
           {"a misspelt activation",
            {"summary", "@/activation.json"},
            1,
            "error: @/activation.json: one thing in this model is not supported:\n"
            "  layer 'd' (Dense): attribute 'activation' is the unknown activation 'rellu'\n"}),
  };
}

std::vector<Wrong> damaged_models() {
  return {
      with({{"text.moru", "this is not a model, and never was one; it is only long enough to hold a header of 64 bytes\n"}},
           {"text called .moru", {"summary", "@/text.moru"}, 1, "error: '@/text.moru' is not a .moru file\n"}),
      with({{"empty.moru", ""}},
           {"an empty .moru", {"summary", "@/empty.moru"}, 1, "error: '@/empty.moru' is not a .moru file\n"}),
      {"half a .moru",
       {"run", "@/cut.moru", "@/x.npy", "--output-dir", "@/out"},
       1,
       "error: '@/cut.moru' is damaged: it should have # bytes but has #\n"},
      {"a .moru cut in its header",
       {"summary", "@/header.moru"},
       1,
       "error: '@/header.moru' is damaged: it ends inside its header\n"},
      {"a flipped bit in the weights",
       {"summary", "@/flip_weights.moru"},
       1,
       "error: '@/flip_weights.moru' is damaged: its section 'weights' has another checksum\n"},
      {"a flipped bit in the header",
       {"summary", "@/flip_magic.moru"},
       1,
       "error: '@/flip_magic.moru' is not a .moru file\n"},
      with({{"text.so", "not a library"}},
           {"text called .so",
            {"run", "@/text.so", "@/x.npy", "--output-dir", "@/out"},
            1,
            "error: cannot load '@/text.so': @/text.so: file too short\n"}),
  };
}

}  // namespace moru::test
