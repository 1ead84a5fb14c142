// Optimizers whose update of one element depends on the others of its parameter: norms, row and column means, matrices.
#include <algorithm>
#include <numeric>

#include "compiler/ops/optimizer.h"

namespace moru {

namespace {

std::vector<int64_t> all_axes(Value x) {
  std::vector<int64_t> axes(x.rank());
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

double norm(const HostTensor& x) {
  double sum = 0.0;
  for (double v : x.data) sum += v * v;
  return std::sqrt(sum);
}

double elements(const HostTensor& x) { return static_cast<double>(std::max<size_t>(x.data.size(), 1)); }

// ---- Lamb (You et al. 2020): Adam whose step is scaled to the norm of the parameter ----

std::vector<State> lamb_states(const Attributes&, const Shape&) { return {{"momentum"}, {"velocity"}}; }

Values lamb(const Update& u) {
  double beta_1 = u.a.real("beta_1"), beta_2 = u.a.real("beta_2");
  auto norm_of = [&](Value x) { return u.call("sqrt", u.b.reduce("reduce_sum", u.call("square", x), all_axes(x))); };
  Value m = u.average(u.states[0], u.gradient, beta_1);
  Value v = u.average(u.states[1], u.call("square", u.gradient), beta_2);
  Value change = m / u.one_minus_power(beta_1) / (u.call("sqrt", v / u.one_minus_power(beta_2)) + u.a.real("epsilon"));
  Value weight_norm = norm_of(u.parameter), change_norm = norm_of(change), zero = u.number(0.0), one = u.number(1.0);
  Value usable = u.b.call("logical_and", {u.b.call("greater", {weight_norm, zero}), u.b.call("greater", {change_norm, zero})});
  Value ratio = u.b.select(usable, weight_norm / u.b.select(usable, change_norm, one), one);
  return {u.parameter - change * (ratio * u.learning_rate), m, v};
}

std::vector<HostTensor> lamb_reference(const UpdateTensors& u) {
  double beta_1 = u.a.real("beta_1"), beta_2 = u.a.real("beta_2");
  std::vector<HostTensor> out = {u.parameter, u.states[0], u.states[1]};
  HostTensor change = u.parameter;
  for (size_t i = 0; i < change.data.size(); ++i) {
    double g = u.gradient.data[i];
    double m = out[1].data[i] = beta_1 * out[1].data[i] + (1.0 - beta_1) * g;
    double v = out[2].data[i] = beta_2 * out[2].data[i] + (1.0 - beta_2) * g * g;
    change.data[i] =
        m / (1.0 - std::pow(beta_1, u.step)) / (std::sqrt(v / (1.0 - std::pow(beta_2, u.step))) + u.a.real("epsilon"));
  }
  double ratio = norm(u.parameter) > 0.0 && norm(change) > 0.0 ? norm(u.parameter) / norm(change) : 1.0;
  for (size_t i = 0; i < change.data.size(); ++i) out[0].data[i] -= ratio * u.learning_rate * change.data[i];
  return out;
}

// ---- Adafactor (Shazeer and Stern 2018): second moments of matrices kept as those of rows and columns ----

std::vector<State> adafactor_states(const Attributes&, const Shape& parameter) {
  std::vector<State> states = {{"velocity"}};
  if (parameter.size() < 2) return states;
  Shape rows(parameter.begin(), parameter.end() - 1), columns(parameter.begin(), parameter.end() - 2);
  columns.push_back(parameter.back());
  states.push_back({"row", 0.0, rows});
  states.push_back({"column", 0.0, columns});
  return states;
}

Values adafactor(const Update& u) {
  auto rms = [&](Value x) { return u.call("sqrt", u.b.reduce("reduce_mean", u.call("square", x), all_axes(x))); };
  Value rate = u.minimum(u.learning_rate, u.call("rsqrt", u.step));
  Value alpha = u.maximum(u.number(u.a.real("epsilon_2")), rms(u.parameter)) * rate;
  Value fresh = u.b.call("power", {u.step, u.number(u.a.real("beta_2_decay"))});  // 1 - beta_2
  auto average = [&](Value old, Value target) { return old + (target - old) * fresh; };
  Value square = u.call("square", u.gradient) + u.a.real("epsilon_1");
  Values states;
  if (u.parameter.rank() < 2) {
    states = {average(u.states[0], square)};
  } else {
    auto last = static_cast<int64_t>(u.parameter.rank()) - 1;
    Value row = average(u.states[1], u.b.reduce("reduce_mean", square, {last}));
    Value column = average(u.states[2], u.b.reduce("reduce_mean", square, {last - 1}));
    Shape along_rows = u.parameter.shape(), along_columns = along_rows;
    along_rows.back() = Dim(1);
    along_columns[static_cast<size_t>(last) - 1] = Dim(1);
    Value share = row / u.b.reduce("reduce_mean", row, {last - 1}, true);
    states = {u.b.reshape(share, along_rows) * u.b.reshape(column, along_columns), row, column};
  }
  Value change = u.gradient / u.call("sqrt", states[0]);
  Value clipped = change / u.maximum(u.number(1.0), rms(change) / u.a.real("clip_threshold"));
  states.insert(states.begin(), u.parameter - alpha * clipped);
  return states;
}

std::vector<HostTensor> adafactor_reference(const UpdateTensors& u) {
  std::vector<HostTensor> out = {u.parameter};
  out.insert(out.end(), u.states.begin(), u.states.end());
  double beta_2 = 1.0 - std::pow(u.step, u.a.real("beta_2_decay"));
  std::vector<double> square;
  for (double g : u.gradient.data) square.push_back(g * g + u.a.real("epsilon_1"));
  HostTensor& v = out[1];
  if (u.parameter.shape.size() < 2) {
    for (size_t i = 0; i < square.size(); ++i) v.data[i] = beta_2 * v.data[i] + (1.0 - beta_2) * square[i];
  } else {
    auto columns = static_cast<size_t>(u.parameter.shape.back());
    auto rows = static_cast<size_t>(u.parameter.shape[u.parameter.shape.size() - 2]);
    for (size_t first = 0, k = 0; first < square.size(); first += rows * columns, ++k) {
      double *row = out[2].data.data() + k * rows, *column = out[3].data.data() + k * columns, row_mean = 0.0;
      for (size_t i = 0; i < rows; ++i) {
        double mean = 0.0;
        for (size_t j = 0; j < columns; ++j) mean += square[first + i * columns + j] / static_cast<double>(columns);
        row[i] = beta_2 * row[i] + (1.0 - beta_2) * mean;
        row_mean += row[i] / static_cast<double>(rows);
      }
      for (size_t j = 0; j < columns; ++j) {
        double mean = 0.0;
        for (size_t i = 0; i < rows; ++i) mean += square[first + i * columns + j] / static_cast<double>(rows);
        column[j] = beta_2 * column[j] + (1.0 - beta_2) * mean;
      }
      for (size_t i = 0; i < rows; ++i)
        for (size_t j = 0; j < columns; ++j) v.data[first + i * columns + j] = row[i] / row_mean * column[j];
    }
  }
  HostTensor change = u.gradient;
  for (size_t i = 0; i < change.data.size(); ++i) change.data[i] /= std::sqrt(v.data[i]);
  double rate = std::min(u.learning_rate, 1.0 / std::sqrt(u.step));
  double alpha = std::max(u.a.real("epsilon_2"), norm(u.parameter) / std::sqrt(elements(u.parameter))) * rate;
  double shrink = std::max(1.0, norm(change) / std::sqrt(elements(change)) / u.a.real("clip_threshold"));
  for (size_t i = 0; i < change.data.size(); ++i) out[0].data[i] -= alpha * change.data[i] / shrink;
  return out;
}

// ---- Muon (Jordan et al. 2024): momentum made orthogonal by Newton-Schulz iterations, for matrices; AdamW for the rest ----

bool uses_adam(const Attributes& a, size_t rank) { return rank != 2 || a.boolean("use_adamw"); }

std::vector<State> muon_states(const Attributes& a, const Shape& parameter) {
  std::vector<State> states = {{"momentum"}};
  if (uses_adam(a, parameter.size())) states.push_back({"velocity"});
  return states;
}

Values muon(const Update& u) {
  if (uses_adam(u.a, u.parameter.rank())) {
    Update scaled{u.b, u.parameter, u.gradient, u.step, u.learning_rate * u.a.real("adam_lr_ratio"), u.states, u.a};
    return adam_update(scaled, u.a.real("adam_beta_1"), u.a.real("adam_beta_2"));
  }
  double momentum = u.a.real("momentum"), a = u.a.real("muon_a"), b = u.a.real("muon_b"), c = u.a.real("muon_c");
  Value m = u.states[0] * momentum + u.gradient;
  Value x = u.a.boolean("nesterov") ? u.gradient + m * momentum : m;
  int64_t rows = x.dim(0).constant(), columns = x.dim(1).constant();
  bool tall = rows > columns;
  if (tall) x = u.b.transpose(x, {1, 0});
  x = x / (u.call("sqrt", u.b.reduce("reduce_sum", u.call("square", x), {0, 1})) + 1e-7);
  for (int64_t i = 0; i < u.a.integer("ns_steps"); ++i) {
    Value square = u.b.contract(x, x, "ik,jk->ij");
    x = x * a + u.b.contract(square * b + u.b.contract(square * c, square, "ik,kj->ij"), x, "ik,kj->ij");
  }
  if (tall) x = u.b.transpose(x, {1, 0});
  double scale = u.a.real("rms_rate");
  scale = scale == 0.0 ? 1.0 : scale * std::sqrt(static_cast<double>(std::max(rows, columns)));
  return {u.parameter - x * (u.learning_rate * scale), m};
}

using Matrix = std::vector<std::vector<double>>;

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c(a.size(), std::vector<double>(b[0].size()));
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t k = 0; k < b.size(); ++k)
      for (size_t j = 0; j < b[0].size(); ++j) c[i][j] += a[i][k] * b[k][j];
  return c;
}

Matrix transposed(const Matrix& a) {
  Matrix t(a[0].size(), std::vector<double>(a.size()));
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t j = 0; j < a[0].size(); ++j) t[j][i] = a[i][j];
  return t;
}

std::vector<HostTensor> muon_reference(const UpdateTensors& u) {
  std::vector<HostTensor> out = {u.parameter};
  out.insert(out.end(), u.states.begin(), u.states.end());
  if (uses_adam(u.a, u.parameter.shape.size())) {
    for (size_t i = 0; i < u.parameter.data.size(); ++i) {
      UpdateElement e{u.parameter.data[i], u.gradient.data[i], u.step, u.learning_rate * u.a.real("adam_lr_ratio"),
                      {u.states[0].data[i], u.states[1].data[i]}, u.a};
      Numbers updated = adam_update(e, u.a.real("adam_beta_1"), u.a.real("adam_beta_2"));
      for (size_t k = 0; k < 3; ++k) out[k].data[i] = updated[k];
    }
    return out;
  }
  auto rows = static_cast<size_t>(u.parameter.shape[0]), columns = static_cast<size_t>(u.parameter.shape[1]);
  double momentum = u.a.real("momentum"), square_sum = 0.0;
  Matrix x(rows, std::vector<double>(columns));
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < columns; ++j) {
      size_t at = i * columns + j;
      double m = out[1].data[at] = momentum * out[1].data[at] + u.gradient.data[at];
      x[i][j] = u.a.boolean("nesterov") ? u.gradient.data[at] + momentum * m : m;
      square_sum += x[i][j] * x[i][j];
    }
  if (rows > columns) x = transposed(x);
  for (auto& row : x)
    for (double& v : row) v /= std::sqrt(square_sum) + 1e-7;
  for (int64_t k = 0; k < u.a.integer("ns_steps"); ++k) {
    Matrix square = product(x, transposed(x)), fourth = product(square, square);
    for (size_t i = 0; i < square.size(); ++i)
      for (size_t j = 0; j < square.size(); ++j)
        square[i][j] = u.a.real("muon_b") * square[i][j] + u.a.real("muon_c") * fourth[i][j];
    Matrix next = product(square, x);
    for (size_t i = 0; i < x.size(); ++i)
      for (size_t j = 0; j < x[0].size(); ++j) x[i][j] = u.a.real("muon_a") * x[i][j] + next[i][j];
  }
  if (rows > columns) x = transposed(x);
  double rate = u.a.real("rms_rate"), scale = rate == 0.0 ? 1.0 : rate * std::sqrt(static_cast<double>(std::max(rows, columns)));
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < columns; ++j) out[0].data[i * columns + j] -= u.learning_rate * scale * x[i][j];
  return out;
}

}  // namespace

std::vector<Optimizer> whole_tensor_optimizers() {
  auto beta = [](std::string_view name, double value) { return optimizer_real(name, value, 0.0, 1.0); };
  auto any = [](std::string_view name, double value) {
    return AttributeSpec{.name = name, .type = AttributeType::real, .default_value = value};
  };
  return {
      {"lamb_update",
       "Adam's m and v;   d = m' / (1-beta_1^t) / (sqrt(v' / (1-beta_2^t)) + epsilon);   w' = w - lr |w| / |d| d, where either norm is 0 "
       "w - lr d (You et al. 2020).   States: momentum (m), velocity (v)",
       0.001,
       {beta("beta_1", 0.9), beta("beta_2", 0.999), optimizer_real("epsilon", 1e-7)},
       lamb_states,
       lamb,
       nullptr,
       {{}, {{"beta_1", 0.5}}},
       lamb_reference},
      {"adafactor_update",
       "b = 1 - t^beta_2_decay;   v' = b v + (1-b)(g^2 + epsilon_1), for two and more axes the product of such averages over rows and "
       "columns, divided by their mean;   d = g / sqrt(v');   w' = w - max(epsilon_2, rms(w)) min(lr, 1 / sqrt(t)) d / max(1, rms(d) / "
       "clip_threshold) (Shazeer and Stern 2018).   States: velocity (v), row, column",
       0.001,
       {{.name = "beta_2_decay", .type = AttributeType::real, .default_value = -0.8, .most = 0}, optimizer_real("epsilon_1", 1e-30),
        optimizer_real("epsilon_2", 1e-3), optimizer_real("clip_threshold", 1.0), optimizer_flag("relative_step", true)},
       adafactor_states,
       adafactor,
       nullptr,
       {{}, {{"clip_threshold", 0.5}, {"beta_2_decay", -0.5}}},
       adafactor_reference},
      {"muon_update",
       "Matrices: m' = momentum m + g, x = g + momentum m' (nesterov) or m', x = x / |x|, then ns_steps times x = a x + (b x x^T + c (x "
       "x^T)^2) x;   w' = w - lr rms_rate sqrt(max(rows, columns)) x, without the factor where rms_rate is 0.   Other parameters, "
       "embeddings and exclude_layers: AdamW with adam_lr_ratio lr (Jordan et al. 2024).   States: momentum (m), velocity (v, of AdamW)",
       0.001,
       {beta("adam_beta_1", 0.9), beta("adam_beta_2", 0.999), optimizer_real("adam_weight_decay", 0.004), optimizer_real("epsilon", 1e-7),
        {.name = "exclude_layers", .type = AttributeType::strings, .optional = true, .doc = "regular expressions on parameters' paths"},
        optimizer_flag("exclude_embeddings", true), any("muon_a", 3.4445), any("muon_b", -4.7750), any("muon_c", 2.0315),
        optimizer_real("adam_lr_ratio", 1.0), optimizer_real("momentum", 0.95, 0.0, 1.0),
        {.name = "ns_steps", .type = AttributeType::integer, .default_value = 5, .least = 0}, optimizer_flag("nesterov", true),
        optimizer_real("rms_rate", 0.2),
        {.name = "use_adamw", .type = AttributeType::boolean, .default_value = false, .doc = "this parameter is excluded; follows from its path"}},
       muon_states,
       muon,
       nullptr,
       {{}, {{"nesterov", false}, {"ns_steps", 3}, {"rms_rate", 0.0}}, {{"use_adamw", true}}},
       muon_reference,
       0.004},
  };
}

}  // namespace moru
