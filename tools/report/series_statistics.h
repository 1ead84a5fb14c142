// Statistics of forecast errors: how they are spread, whether they still hold a pattern in time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace moru {

/// The upper tail of the chi-squared distribution: P(X > x) with `degrees` > 0 degrees of freedom, x >= 0. It is the
/// regularised incomplete gamma function Q(degrees / 2, x / 2), by its series where x is small and by its continued
/// fraction where it is large (Abramowitz and Stegun 6.5.29 and 6.5.31); about 13 digits.
double chi_squared_tail(double x, double degrees);

/// The sample autocorrelation of lags 1 ... `most_lags`, fewer where the series is shorter:
///   r_k = sum_t e_t e_(t+k) / sum_t e_t^2,   e_t = x_t - mean(x)
/// NaN marks times without a value: they are left out of both sums. Empty where the values are all equal.
std::vector<double> autocorrelation(std::span<const double> series, std::size_t most_lags);

/// Ljung and Box (1978): Q = n (n+2) sum_k r_k^2 / (n - k) over the given lags, which for white noise is chi-squared
/// with as many degrees of freedom.
struct LjungBox {
  double statistic = 0, p_value = 1;
  std::size_t lags = 0;
};
LjungBox ljung_box(std::span<const double> autocorrelations, std::size_t values);

/// Half the width of the 95 % band around zero in which autocorrelations of white noise lie: 1.96 / sqrt(values).
double white_noise_band(std::size_t values);

/// Values placed on a line of equidistant positions, NaN between them: values[i] stands at positions[i], which rise.
/// A step is the smallest distance of two positions.
std::vector<double> on_grid(std::span<const double> values, std::span<const int64_t> positions);

/// Equal bins over the central values: their width is Freedman's and Diaconis' 2 IQR / n^(1/3), with at most
/// `most_bins`. Values outside [first quartile - 4 IQR, third quartile + 4 IQR] are counted in the bins at the ends.
struct Histogram {
  double low = 0, width = 0;
  std::vector<int64_t> counts;
};
Histogram histogram(std::span<const double> values, std::size_t most_bins = 60);

/// The quantile of sorted values, linear between neighbours (Hyndman and Fan's type 7). `sorted` is not empty.
double quantile(std::span<const double> sorted, double fraction);

/// Errors actual - predicted of one group of samples.
struct ErrorSummary {
  int64_t count = 0;
  double mean = 0;  // the bias: positive where predictions are too low
  double mean_absolute = 0;
  double root_mean_square = 0;
};
ErrorSummary summarize_errors(std::span<const double> errors);

/// One summary per group number 0 ... groups - 1; NaN errors are left out.
std::vector<ErrorSummary> summarize_groups(std::span<const double> errors, std::span<const std::size_t> groups,
                                           std::size_t group_count);

}  // namespace moru
