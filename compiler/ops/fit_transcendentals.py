#!/usr/bin/env python3
"""Derives the coefficients of transcendentals.cpp and prints them as a C++ header.

    python3 compiler/ops/fit_transcendentals.py > compiler/ops/transcendental_tables.h     (python3-mpmath; some minutes)

Each table is a minimax polynomial found by the Remez exchange algorithm on a Chebyshev grid, in 60 decimal digits.
Coefficients are then rounded to their type one after the other, lowest order first, and the higher ones are fitted again
to make up for it, so that the printed table, not an ideal one, is close to the minimax error printed beside it.
"""

from mpmath import mp, mpf, matrix, lu_solve, exp, expm1, log, log1p, tanh, erf, erfc, atanh, cos, pi, sqrt
import struct

mp.dps = 60


def to_f32(x):
    return mpf(struct.unpack("f", struct.pack("f", float(x)))[0])


def to_f64(x):
    return mpf(float(x))


def remez(target, weight, powers, low, high, grid_points=1200, rounds=40):
    """Coefficients c minimising max |weight(x) * (sum c_k x^powers[k] - target(x))| on [low, high]."""
    grid = [(low + high) / 2 - (high - low) / 2 * cos(pi * i / (grid_points - 1)) for i in range(grid_points)]
    values = [(x, target(x), weight(x)) for x in grid]
    n = len(powers)
    # Where every power is odd or higher, all vanish at 0: the error divided by x^powers[0] is what alternates.
    values = [(x, f, -abs(w) if x < 0 and powers[0] % 2 else abs(w)) for x, f, w in values
              if w != 0 and (x != 0 or powers[0] == 0)]
    picks = [round(i * (len(values) - 1) / n) for i in range(n + 1)]
    best = None
    for _ in range(rounds):
        system, right = matrix(n + 1, n + 1), matrix(n + 1, 1)
        for row, pick in enumerate(picks):
            x, f, w = values[pick]
            for column, power in enumerate(powers):
                system[row, column] = x**power
            system[row, n] = (-1) ** row / w
            right[row] = f
        solution = lu_solve(system, right)
        c = [solution[k] for k in range(n)]
        errors = [w * (sum(ck * x**p for ck, p in zip(c, powers)) - f) for x, f, w in values]
        worst = max(abs(e) for e in errors)
        if best is None or worst < best[1]:
            best = (c, worst)
        # One extremum per run of equal sign, then the n+1 neighbouring ones with the largest errors.
        extrema, start = [], 0
        for i in range(1, len(errors) + 1):
            if i == len(errors) or (errors[i] > 0) != (errors[start] > 0):
                extrema.append(max(range(start, i), key=lambda j: abs(errors[j])))
                start = i
        while len(extrema) > n + 1:
            if len(extrema) == n + 2:
                extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1)
            else:
                smallest = min(range(len(extrema)), key=lambda j: abs(errors[extrema[j]]))
                if smallest in (0, len(extrema) - 1):
                    extrema.pop(smallest)
                else:
                    extrema.pop(smallest)
                    extrema.pop(smallest if abs(errors[extrema[smallest]]) < abs(errors[extrema[smallest - 1]]) else smallest - 1)
        if len(extrema) < n + 1 or extrema == picks:
            break
        picks = extrema
    return best


# fit() prints a table of the namespace it is in.
def fit(name, target, weight, powers, low, high, kind="float", fixed=()):
    """Prints the table of `target` ~ sum fixed + sum c_k x^powers[k], rounded to `kind`; lowest power first."""
    low, high = mpf(low), mpf(high)
    round_to = to_f32 if kind == "float" else to_f64
    done = list(fixed)  # (power, value)
    rest = list(powers)
    ideal = None
    while rest:
        known = list(done)
        c, worst = remez(lambda x: target(x) - sum(v * x**p for p, v in known), weight, rest, low, high)
        ideal = ideal or worst
        done.append((rest.pop(0), round_to(c[0])))
    grid = [low + (high - low) * i / 4000 for i in range(4001)]
    worst = max(abs(weight(x) * (sum(v * x**p for p, v in done) - target(x))) for x in grid)
    print(f"// worst error 2^{float(log(worst, 2)):.2f} (unrounded 2^{float(log(ideal, 2)):.2f})")
    text = [hexadecimal(v) for p, v in done if p in powers]
    lines = [", ".join(text[i : i + 4]) for i in range(0, len(text), 4)]
    print(f"constexpr double {name}[] = {{\n    " + ",\n    ".join(lines) + "};", flush=True)


def split(name, value, bits, kind):
    """Prints value = high + low, where high has `bits` bits, so that small multiples of it are exact."""
    scale = mpf(2) ** (bits - 1 - int(mp.floor(log(value, 2))))
    high = mp.floor(value * scale) / scale
    low = (to_f32 if kind == "float" else to_f64)(value - high)
    print(f"constexpr double {name}_high = {hexadecimal(high)}, {name}_low = {hexadecimal(low)};")


def hexadecimal(value):
    """A hex float without trailing zeros."""
    mantissa, exponent = float.hex(float(value)).split("p")
    return (mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa) + "p" + exponent


def tables(kind, degrees):
    ln2 = log(2)
    one = mpf(1)
    zero = mpf(0)

    def at_zero(f, value):
        return lambda x: f(x) if abs(x) > mpf(10) ** -30 else value

    def root(f):
        return lambda y: f(sqrt(y))

    print("// exp(r) = 1 + r + r^2 (c0 + c1 r + ...), |r| <= ln(2)")
    fit("exp_wide", exp, lambda r: exp(-r), range(2, degrees["exp_wide"] + 1), -ln2, ln2, kind,
        fixed=[(0, one), (1, one)])
    print("// exp(-r) = 1 - r + r^2 (c0 + c1 r + ...), |r| <= ln(2) / 2")
    fit("exp_negated", lambda r: exp(-r), lambda r: exp(r), range(2, degrees["exp_negated"] + 1), -ln2 / 2, ln2 / 2,
        kind, fixed=[(0, one), (1, -one)])
    print("// expm1(r) = r + r^2 (c0 + c1 r + ...), |r| <= ln(2) / 2; relative error")
    fit("expm1_narrow", at_zero(lambda x: expm1(x) / x, one), at_zero(lambda x: x / expm1(x), one),
        range(1, degrees["expm1"] + 1), -ln2 / 2, ln2 / 2, kind, fixed=[(0, one)])
    print("// tanh(r) = r + r y (c0 + c1 y + ...), y = r^2, |r| <= ln(2) / 4 + 0.1; relative error")
    fit("tanh_narrow", at_zero(root(lambda x: tanh(x) / x), one), lambda y: one, range(1, degrees["tanh"] + 1), 0,
        (ln2 / 4 + mpf("0.1")) ** 2, kind, fixed=[(0, one)])
    print("// log(1 + f) = f + f^2 (c0 + c1 f + ...), 1 + f in [sqrt(1/2), sqrt(2)]; relative error")
    fit("log_narrow", at_zero(lambda f: (log1p(f) - f) / f**2, -one / 2), at_zero(lambda f: f**2 / log1p(f), zero),
        range(0, degrees["log"] + 1), sqrt(one / 2) - 1, sqrt(mpf(2)) - 1, kind)
    split("ln2", ln2, 15 if kind == "float" else 41, kind)
    if kind == "double":
        print("// erf(x) = x + x (c0 + c1 y + ...), y = x^2, x <= 0.95; relative error")
        fit("erf_small", at_zero(root(lambda x: erf(x) / x - 1), 2 / sqrt(pi) - 1),
            at_zero(root(lambda x: x / erf(x)), sqrt(pi) / 2), range(0, 13), 0, mpf("0.95") ** 2, kind)
        print("// log(1 - erf(x)) = c0 + c1 x + ..., x in [0.95, 6]; relative error of erf")
        fit("log_erfc", lambda x: log(erfc(x)), lambda x: erfc(x) / erf(x), range(0, 22), "0.95", 6, kind)
        return
    print("// erf(x) = x + x (c0 + c1 y + ...), y = x^2, x <= 0.95; relative error")
    fit("erf_small", at_zero(root(lambda x: erf(x) / x - 1), 2 / sqrt(pi) - 1),
        at_zero(root(lambda x: x / erf(x)), sqrt(pi) / 2), range(0, 7), 0, mpf("0.95") ** 2)
    print("// log2(1 - erf(x)) = c0 + c1 x + ..., x in [0.95, 4]; relative error of erf")
    fit("log2_erfc", lambda x: log(erfc(x), 2), lambda x: erfc(x) * ln2 / erf(x), range(0, 8), "0.95", 4)
    print("// 2^r = 1 + c0 r + ..., |r| <= 1/2, for erfc, which it scales down by 5 and more")
    fit("exp2_narrow", lambda r: mpf(2) ** r, lambda r: mpf(2) ** -r, range(1, 6), -one / 2, one / 2, fixed=[(0, one)])


print("""// Printed by fit_transcendentals.py: minimax coefficients, lowest power first. Do not edit.
#pragma once

namespace moru::tables_f32 {
""")
tables("float", {"exp_wide": 7, "exp_negated": 6, "expm1": 5, "tanh": 3, "log": 8})
print("""
}  // namespace moru::tables_f32

namespace moru::tables_f64 {
""")
tables("double", {"exp_wide": 15, "exp_negated": 12, "expm1": 12, "tanh": 9, "log": 20})
print("""
}  // namespace moru::tables_f64""")
