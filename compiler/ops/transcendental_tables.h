// Printed by fit_transcendentals.py: minimax coefficients, lowest power first. Do not edit.
#pragma once

namespace moru::tables_f32 {

// exp(r) = 1 + r + r^2 (c0 + c1 r + ...), |r| <= ln(2)
// worst error 2^-26.04 (unrounded 2^-26.07)
constexpr double exp_wide[] = {0x1.00000cp-1, 0x1.555514p-3,  0x1.5549eep-5,
                               0x1.1126dap-7, 0x1.71bf86p-10, 0x1.9bb076p-13};
// exp(-r) = 1 - r + r^2 (c0 + c1 r + ...), |r| <= ln(2) / 2
// worst error 2^-28.25 (unrounded 2^-28.29)
constexpr double exp_negated[] = {0x1.fffffcp-2, -0x1.555494p-3, 0x1.5558bep-5, -0x1.123856p-7, 0x1.6a3d0ep-10};
// expm1(r) = r + r^2 (c0 + c1 r + ...), |r| <= ln(2) / 2; relative error
// worst error 2^-26.13 (unrounded 2^-26.18)
constexpr double expm1_narrow[] = {0x1.fffffep-2, 0x1.5554b4p-3, 0x1.5556f8p-5, 0x1.12252ep-7, 0x1.6b95c8p-10};
// tanh(r) = r + r y (c0 + c1 y + ...), y = r^2, |r| <= ln(2) / 4 + 0.1; relative error
// worst error 2^-27.36 (unrounded 2^-27.37)
constexpr double tanh_narrow[] = {-0x1.5554ecp-2, 0x1.10cdacp-3, -0x1.a1700ep-5};
// log(1 + f) = f + f^2 (c0 + c1 f + ...), 1 + f in [sqrt(1/2), sqrt(2)]; relative error
// worst error 2^-27.83 (unrounded 2^-27.87)
constexpr double log_narrow[] = {-0x1.fffff8p-2, 0x1.55555p-2,   -0x1.000438p-2, 0x1.99a41cp-3, -0x1.5423e8p-3,
                                 0x1.226c84p-3,  -0x1.0f5208p-3, 0x1.0875p-3,    -0x1.38138ep-4};
constexpr double ln2_high = 0x1.62e4p-1, ln2_low = 0x1.7f7d1cp-20;
// erf(x) = x + x (c0 + c1 y + ...), y = x^2, x <= 0.95; relative error
// worst error 2^-30.04 (unrounded 2^-30.61)
constexpr double erf_small[] = {0x1.06eba8p-3, -0x1.81274p-2,  0x1.ce2d64p-4, -0x1.b80124p-6,
                                0x1.544b08p-8, -0x1.a6181p-11, 0x1.4fa924p-14};
// log2(1 - erf(x)) = c0 + c1 x + ..., x in [0.95, 4]; relative error of erf
// worst error 2^-34.78 (unrounded 2^-34.94)
constexpr double log2_erfc[] = {0x1.14051ap-12, -0x1.a12d68p+0, -0x1.d3c5e2p-1, -0x1.402b3cp-3,
                                0x1.297e36p-5,  -0x1.8c3bc8p-8, 0x1.4bb01cp-11, -0x1.03854ap-15};
// 2^r = 1 + c0 r + ..., |r| <= 1/2, for erfc, which it scales down by 5 and more
// worst error 2^-23.36 (unrounded 2^-23.38)
constexpr double exp2_narrow[] = {0x1.62e42ap-1, 0x1.ebf9c2p-3, 0x1.c6b6d8p-5, 0x1.3ce8acp-7, 0x1.5bda4p-10};

}  // namespace moru::tables_f32

namespace moru::tables_f64 {

// exp(r) = 1 + r + r^2 (c0 + c1 r + ...), |r| <= ln(2)
// worst error 2^-65.90 (unrounded 2^-67.48)
constexpr double exp_wide[] = {0x1p-1,
                               0x1.5555555555555p-3,
                               0x1.5555555555554p-5,
                               0x1.11111111111c2p-7,
                               0x1.6c16c16c1718ap-10,
                               0x1.a01a019ff95b5p-13,
                               0x1.a01a019f1ab83p-16,
                               0x1.71de3a83521d2p-19,
                               0x1.27e4fcdd1189dp-22,
                               0x1.ae6414084ed39p-26,
                               0x1.1eeb883b05e22p-29,
                               0x1.6153f3a566e1cp-33,
                               0x1.968798eb1b3b8p-37,
                               0x1.94b7c34ccb995p-41};
// exp(-r) = 1 - r + r^2 (c0 + c1 r + ...), |r| <= ln(2) / 2
// worst error 2^-63.83 (unrounded 2^-64.03)
constexpr double exp_negated[] = {0x1p-1,
                                  -0x1.555555555555ap-3,
                                  0x1.5555555555531p-5,
                                  -0x1.111111110f16bp-7,
                                  0x1.6c16c16c26f88p-10,
                                  -0x1.a01a01b1e18acp-13,
                                  0x1.a01a0151ec0b2p-16,
                                  -0x1.71ddf391b9d0ep-19,
                                  0x1.27e58f2d57625p-22,
                                  -0x1.af66a6a5cfa21p-26,
                                  0x1.1e627e5229416p-29};
// expm1(r) = r + r^2 (c0 + c1 r + ...), |r| <= ln(2) / 2; relative error
// worst error 2^-65.03 (unrounded 2^-68.20)
constexpr double expm1_narrow[] = {0x1p-1,
                                   0x1.5555555555555p-3,
                                   0x1.5555555555555p-5,
                                   0x1.1111111111355p-7,
                                   0x1.6c16c16c16b9dp-10,
                                   0x1.a01a019ed8ff6p-13,
                                   0x1.a01a01a31b6p-16,
                                   0x1.71de3f34669f6p-19,
                                   0x1.27e4e53ba7caep-22,
                                   0x1.ae5309596152ep-26,
                                   0x1.1f616437d4373p-29,
                                   0x1.785daea9c4811p-33};
// tanh(r) = r + r y (c0 + c1 y + ...), y = r^2, |r| <= ln(2) / 4 + 0.1; relative error
// worst error 2^-66.05 (unrounded 2^-69.91)
constexpr double tanh_narrow[] = {-0x1.5555555555555p-2,  0x1.1111111110fe7p-3,  -0x1.ba1ba1b9ef03ap-5,
                                  0x1.664f4868c41fap-6,   -0x1.226e2ce9376c9p-7, 0x1.d6d08d24c4e9fp-9,
                                  -0x1.7d42ad42c3cfcp-10, 0x1.2ede4bc786083p-11, -0x1.82258ed48e47fp-13};
// log(1 + f) = f + f^2 (c0 + c1 f + ...), 1 + f in [sqrt(1/2), sqrt(2)]; relative error
// worst error 2^-59.29 (unrounded 2^-59.38)
constexpr double log_narrow[] = {-0x1p-1,
                                 0x1.555555555556bp-2,
                                 -0x1.ffffffffffe85p-3,
                                 0x1.9999999994d9fp-3,
                                 -0x1.555555556ab58p-3,
                                 0x1.249249275cfacp-3,
                                 -0x1.fffffff3dccc4p-4,
                                 0x1.c71c702e9ec51p-4,
                                 -0x1.99999a994e195p-4,
                                 0x1.745d58b98f3cfp-4,
                                 -0x1.555577487b9b9p-4,
                                 0x1.3b0d7af5caecap-4,
                                 -0x1.248945f94ea52p-4,
                                 0x1.1169e2add172dp-4,
                                 -0x1.00cfc27ff0309p-4,
                                 0x1.dc998acca1bd3p-5,
                                 -0x1.b45ea5350624ep-5,
                                 0x1.bba5a995470a3p-5,
                                 -0x1.010407915230dp-4,
                                 0x1.d2bb3ceb8564dp-5,
                                 -0x1.8dd650a37e094p-6};
constexpr double ln2_high = 0x1.62e42fefa3p-1, ln2_low = 0x1.3de6af278ece6p-42;
// erf(x) = x + x (c0 + c1 y + ...), y = x^2, x <= 0.95; relative error
// worst error 2^-56.33 (unrounded 2^-64.62)
constexpr double erf_small[] = {0x1.06eba8214db69p-3,   -0x1.812746b037a2cp-2,  0x1.ce2f21a046384p-4,
                                -0x1.b82ce313a1987p-6,  0x1.565bcd3c4d638p-8,   -0x1.c02dbcdc409abp-11,
                                0x1.f9a43cdb848b6p-14,  -0x1.f4e8c92949dc4p-17, 0x1.bb1bd7e0c9b8cp-20,
                                -0x1.6a6e80c260268p-23, 0x1.3d7c9666a7768p-26,  -0x1.7738adf52beb3p-29,
                                0x1.81204010a75c9p-32};
// log(1 - erf(x)) = c0 + c1 x + ..., x in [0.95, 6]; relative error of erf
// worst error 2^-66.16 (unrounded 2^-66.16)
constexpr double log_erfc[] = {
    0x1.ddf8ef4b84469p-26, -0x1.20dd7af045ed8p+0,  -0x1.45f2bfc024dafp-1,  -0x1.a4fd48c69bc0ap-4,
    0x1.39c03aeba9d65p-6,  0x1.5cb67ef404cb3p-13,  -0x1.ab0a92dc549f3p-10, 0x1.095a38cf7c937p-11,
    0x1.f1bfa8aa04213p-15, -0x1.1b7f5e13f907fp-13, 0x1.46143d321a46ap-14,  -0x1.f5dc9faa25707p-16,
    0x1.26671cc9cabfdp-17, -0x1.11a41f350b2d6p-19, 0x1.96954643aaab4p-22,  -0x1.dfa589863ad15p-25,
    0x1.b8ba20ce74c56p-28, -0x1.30dec9bc132f5p-31, 0x1.2bb5a1fae0bbdp-35,  -0x1.7867974bf5cf8p-40,
    0x1.d7f765906ebe9p-46, -0x1.44a61a8f362cbp-54};

}  // namespace moru::tables_f64
