// Keras' layers of image augmentation. They change images in training alone, which Moru does not do; otherwise they hand them
// on. So a model that holds them predicts, is compiled and is exchanged, but is not trained.
#include "compiler/ops/layer.h"
#include "compiler/ops/spatial.h"

namespace moru {

namespace {

using Integers = std::vector<int64_t>;
using Reals = std::vector<double>;
using T = AttributeType;

AttributeSpec range(std::string_view name, AttributeValue default_value = {}, bool optional = false) {
  return {.name = name, .type = T::reals, .default_value = std::move(default_value), .optional = optional,
          .doc = "one number or two: how much, at least and at most", .keras_list = KerasList::unwrapped};
}
AttributeSpec value_range(bool recent = false) {
  return {.name = "value_range", .type = T::reals, .default_value = Reals{0, 255}, .doc = "of the pixels", .recent = recent};
}
AttributeSpec interpolation() { return {.name = "interpolation", .type = T::string, .default_value = "bilinear"}; }
AttributeSpec fill_mode() { return {.name = "fill_mode", .type = T::string, .default_value = "reflect"}; }
AttributeSpec fill_value() { return range("fill_value", Reals{0.0}, true); }
AttributeSpec integer(std::string_view name, int64_t default_value) {
  return {.name = name, .type = T::integer, .default_value = default_value};
}
AttributeSpec real(std::string_view name, double default_value) {
  return {.name = name, .type = T::real, .default_value = default_value};
}

Op augmentation(std::string_view name, std::string_view class_name, std::vector<AttributeSpec> attributes) {
  Attributes example;
  for (const AttributeSpec& spec : attributes)
    if (spec.default_value.is_none() && !spec.optional) {
      if (spec.type == T::reals) example.set(std::string(spec.name), Reals{0.25});
      if (spec.type == T::integer) example.set(std::string(spec.name), 4);
    }
  attributes.push_back(data_format_attribute());
  attributes.back().recent = true;
  attributes.push_back({.name = "bounding_box_format", .type = T::string, .optional = true, .recent = true});
  return {
      .name = name,
      .family = OpFamily::layer,
      .doc = "y = x; augments images in Keras' training, which is not supported.   x, y: [batch, height, width, channels]",
      .class_name = class_name,
      .inputs = {{"x"}, {.name = "seed", .optional = true}, {.name = "step", .optional = true}},
      .attributes = std::move(attributes),
      .infer = [name](const OpContext& context) -> std::vector<Type> {
        const Op& op = get_op(name);
        if (has_input(context, 1))
          unsupported(context, op, "training through a layer that augments images",
                      "take the layer out of the model, and augment the images before they are given to it");
        check_spatial(context, op, 2, false);
        const Type& x = context.inputs[0];
        const size_t height = channels_first(context.attributes) ? 2 : 1;
        if (name == "random_crop" && !(x.shape[height].is_constant(context.attributes.integer("height")) &&
                                       x.shape[height + 1].is_constant(context.attributes.integer("width"))))
          unsupported(context, op, "a crop of " + shape_text(x.shape) + ", where versions of Keras predict differently,",
                      "use CenterCrop or Resizing");
        return {{float_dtype(x.dtype), x.shape}};
      },
      .reference = [](std::span<const HostTensor> inputs, const Attributes&) -> std::vector<HostTensor> {
        HostTensor y = inputs[0];
        y.dtype = float_dtype(y.dtype);
        return {y};
      },
      .expand = [](Builder&, std::span<const Value> inputs, const Attributes&) -> std::vector<Value> { return {to_float(inputs[0])}; },
      .cheap = true,
      .examples = {{.inputs = {{{2, 4, 4, 3}}}, .attributes = example}},
  };
}

}  // namespace

std::vector<Op> augmentation_ops() {
  const AttributeSpec factor = range("factor");
  const AttributeSpec mode{.name = "mode", .type = T::string, .default_value = "horizontal_and_vertical",
                           .choices = {"horizontal", "vertical", "horizontal_and_vertical"}};
  return {
      augmentation("random_flip", "RandomFlip", {mode}),
      augmentation("random_rotation", "RandomRotation", {factor, fill_mode(), interpolation(), fill_value()}),
      augmentation("random_zoom", "RandomZoom",
                   {range("height_factor"), range("width_factor", {}, true), fill_mode(), interpolation(), fill_value()}),
      augmentation("random_translation", "RandomTranslation",
                   {range("height_factor"), range("width_factor"), fill_mode(), interpolation(), fill_value()}),
      augmentation("random_shear", "RandomShear",
                   {range("x_factor", Reals{0.0}), range("y_factor", Reals{0.0}), interpolation(), fill_mode(), fill_value()}),
      augmentation("random_crop", "RandomCrop",
                   {{.name = "height", .type = T::integer, .least = 1}, {.name = "width", .type = T::integer, .least = 1}}),
      augmentation("random_contrast", "RandomContrast", {factor, value_range(true)}),
      augmentation("random_brightness", "RandomBrightness", {factor, value_range()}),
      augmentation("random_hue", "RandomHue", {factor, value_range()}),
      augmentation("random_saturation", "RandomSaturation", {factor, value_range()}),
      augmentation("random_sharpness", "RandomSharpness", {factor, value_range()}),
      augmentation("random_posterization", "RandomPosterization", {factor, value_range()}),
      augmentation("random_color_degeneration", "RandomColorDegeneration", {factor, value_range()}),
      augmentation("random_invert", "RandomInvert", {range("factor", Reals{1.0}), value_range()}),
      augmentation("random_grayscale", "RandomGrayscale", {range("factor", Reals{0.5})}),
      augmentation("random_color_jitter", "RandomColorJitter",
                   {value_range(), range("brightness_factor", {}, true), range("contrast_factor", {}, true),
                    range("saturation_factor", {}, true), range("hue_factor", {}, true)}),
      augmentation("random_erasing", "RandomErasing",
                   {range("factor", Reals{1.0}), range("scale", Reals{0.02, 0.33}), range("fill_value", {}, true), value_range()}),
      augmentation("random_gaussian_blur", "RandomGaussianBlur",
                   {range("factor", Reals{1.0}),
                    {.name = "kernel_size", .type = T::integers, .default_value = Integers{3}, .keras_list = KerasList::unwrapped},
                    range("sigma", Reals{1.0}), value_range()}),
      augmentation("random_elastic_transform", "RandomElasticTransform",
                   {range("factor", Reals{1.0}), range("scale", Reals{1.0}), interpolation(), fill_mode(), fill_value(), value_range()}),
      augmentation("random_perspective", "RandomPerspective",
                   {range("factor", Reals{1.0}), range("scale", Reals{1.0}), interpolation(), fill_value()}),
      augmentation("rand_augment", "RandAugment", {value_range(), integer("num_ops", 2), range("factor", Reals{0.5}), interpolation()}),
      augmentation("aug_mix", "AugMix",
                   {value_range(), integer("num_chains", 3), integer("chain_depth", 3), range("factor", Reals{0.3}), real("alpha", 1.0),
                    {.name = "all_ops", .type = T::boolean, .default_value = true}, interpolation()}),
      augmentation("cut_mix", "CutMix", {range("factor", Reals{1.0})}),
      augmentation("mix_up", "MixUp", {real("alpha", 0.2)}),
      augmentation("solarization", "Solarization",
                   {range("addition_factor", Reals{0.0}), range("threshold_factor", Reals{0.0}), value_range()}),
      augmentation("equalization", "Equalization", {value_range(), integer("bins", 256)}),
  };
}

}  // namespace moru
