#include "tools/report/series_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace moru {
namespace {

constexpr double precision = 1e-15;

/// P(a, x) by the series x^a e^-x / gamma(a) * sum_n x^n / (a (a+1) ... (a+n)).
double lower_gamma_series(double a, double x) {
  double term = 1 / a, sum = term;
  for (int n = 1; n < 10000 && std::fabs(term) > std::fabs(sum) * precision; ++n) {
    term *= x / (a + n);
    sum += term;
  }
  return sum * std::exp(-x + a * std::log(x) - std::lgamma(a));
}

/// Q(a, x) by its continued fraction, evaluated from the front (Lentz's method as Thompson and Barnett changed it).
double upper_gamma_fraction(double a, double x) {
  constexpr double tiny = 1e-300;
  double b = x + 1 - a, c = 1 / tiny, d = 1 / b, fraction = d;
  for (int i = 1; i < 10000; ++i) {
    const double numerator = -i * (i - a);
    b += 2;
    d = numerator * d + b;
    if (std::fabs(d) < tiny) d = tiny;
    c = b + numerator / c;
    if (std::fabs(c) < tiny) c = tiny;
    d = 1 / d;
    fraction *= d * c;
    if (std::fabs(d * c - 1) < precision) break;
  }
  return fraction * std::exp(-x + a * std::log(x) - std::lgamma(a));
}

}  // namespace

double chi_squared_tail(double x, double degrees) {
  const double a = degrees / 2, half = x / 2;
  if (!(half > 0)) return 1;
  return half < a + 1 ? 1 - lower_gamma_series(a, half) : upper_gamma_fraction(a, half);
}

std::vector<double> autocorrelation(std::span<const double> series, std::size_t most_lags) {
  double sum = 0;
  std::size_t count = 0;
  for (const double value : series) {
    if (std::isnan(value)) continue;
    sum += value;
    ++count;
  }
  const double mean = sum / static_cast<double>(std::max<std::size_t>(count, 1));
  std::vector<double> e;
  double variance = 0;
  for (const double value : series) {
    e.push_back(std::isnan(value) ? 0 : value - mean);
    variance += e.back() * e.back();
  }
  std::vector<double> r;
  if (!(variance > 0)) return r;
  for (std::size_t lag = 1; lag <= most_lags && lag < e.size(); ++lag) {
    double product = 0;
    for (std::size_t t = 0; t + lag < e.size(); ++t) product += e[t] * e[t + lag];
    r.push_back(product / variance);
  }
  return r;
}

LjungBox ljung_box(std::span<const double> autocorrelations, std::size_t values) {
  LjungBox test;
  const double n = static_cast<double>(values);
  for (std::size_t k = 1; k <= autocorrelations.size() && k < values; ++k) {
    const double r = autocorrelations[k - 1];
    test.statistic += r * r / (n - static_cast<double>(k));
    ++test.lags;
  }
  test.statistic *= n * (n + 2);
  if (test.lags > 0) test.p_value = chi_squared_tail(test.statistic, static_cast<double>(test.lags));
  return test;
}

double white_noise_band(std::size_t values) { return 1.959963984540054 / std::sqrt(static_cast<double>(values)); }

std::vector<double> on_grid(std::span<const double> values, std::span<const int64_t> positions) {
  int64_t step = std::numeric_limits<int64_t>::max();
  for (std::size_t i = 1; i < positions.size(); ++i)
    if (positions[i] > positions[i - 1]) step = std::min(step, positions[i] - positions[i - 1]);
  const auto as_they_are = [&] { return std::vector<double>(values.begin(), values.end()); };
  if (positions.size() < 2 || positions.back() <= positions.front()) return as_they_are();
  const int64_t places = (positions.back() - positions.front()) / step + 1;
  // Far apart, or out of order: no grid that would be worth its room.
  if (places > static_cast<int64_t>(values.size()) * 20) return as_they_are();
  std::vector<double> grid(static_cast<std::size_t>(places), std::numeric_limits<double>::quiet_NaN());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const int64_t place = (positions[i] - positions.front()) / step;
    if (place < 0 || place >= places) return as_they_are();
    grid[static_cast<std::size_t>(place)] = values[i];
  }
  return grid;
}

double quantile(std::span<const double> sorted, double fraction) {
  const double place = fraction * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

Histogram histogram(std::span<const double> values, std::size_t most_bins) {
  std::vector<double> sorted;
  for (const double value : values)
    if (std::isfinite(value)) sorted.push_back(value);
  Histogram out;
  if (sorted.empty()) return out;
  std::sort(sorted.begin(), sorted.end());
  const double q1 = quantile(sorted, 0.25), q3 = quantile(sorted, 0.75), iqr = q3 - q1;
  double low = sorted.front(), high = sorted.back();
  if (iqr > 0) {
    low = std::max(low, q1 - 4 * iqr);
    high = std::min(high, q3 + 4 * iqr);
  }
  if (!(high > low)) {
    out.low = low - 0.5;
    out.width = 1;
    out.counts = {static_cast<int64_t>(sorted.size())};
    return out;
  }
  const double wanted = 2 * iqr / std::cbrt(static_cast<double>(sorted.size()));
  const double bins = wanted > 0 ? std::ceil((high - low) / wanted) : 10;
  const auto count = static_cast<std::size_t>(std::clamp(bins, 1.0, static_cast<double>(most_bins)));
  out.low = low;
  out.width = (high - low) / static_cast<double>(count);
  out.counts.assign(count, 0);
  for (const double value : sorted) {
    const double place = std::clamp((value - low) / out.width, 0.0, static_cast<double>(count) - 0.5);
    ++out.counts[static_cast<std::size_t>(place)];
  }
  return out;
}

ErrorSummary summarize_errors(std::span<const double> errors) {
  const std::vector<std::size_t> groups(errors.size(), 0);
  return summarize_groups(errors, groups, 1).front();
}

std::vector<ErrorSummary> summarize_groups(std::span<const double> errors, std::span<const std::size_t> groups,
                                           std::size_t group_count) {
  std::vector<ErrorSummary> all(group_count);
  for (std::size_t i = 0; i < errors.size(); ++i) {
    if (std::isnan(errors[i])) continue;
    ErrorSummary& group = all[groups[i]];
    ++group.count;
    group.mean += errors[i];
    group.mean_absolute += std::fabs(errors[i]);
    group.root_mean_square += errors[i] * errors[i];
  }
  for (ErrorSummary& group : all) {
    const double n = static_cast<double>(std::max<int64_t>(group.count, 1));
    group.mean /= n;
    group.mean_absolute /= n;
    group.root_mean_square = std::sqrt(group.root_mean_square / n);
  }
  return all;
}

}  // namespace moru
