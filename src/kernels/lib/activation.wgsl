// Activations on four values at once, in f32. Numbers of ACT: see activation.ts.

// Half of the complementary error function of |x|/√2, which is the normal distribution's tail beyond |x|: a rational
// fit by Horner on t = 1/(1 + z/2) (Numerical Recipes' erfcc, 1.2e-7 relative everywhere).
fn normal_tail4(x: vec4f) -> vec4f {
  let z = abs(x) * 0.70710678;
  let t = 1.0 / (1.0 + 0.5 * z);
  var s = vec4f(0.17087277);
  s = s * t - 0.82215223;
  s = s * t + 1.48851587;
  s = s * t - 1.13520398;
  s = s * t + 0.27886807;
  s = s * t - 0.18628806;
  s = s * t + 0.09678418;
  s = s * t + 0.37409196;
  s = s * t + 1.00002368;
  return 0.5 * t * exp(t * s - z * z - 1.26551223);
}

// clamp, min, max and some drivers' exp may turn a NaN into a number, and a NaN is to arrive where it is looked for:
// bounds are selections, and exp is asked only about numbers.
fn exp4(x: vec4f) -> vec4f {
  return select(x, exp(x), x == x);
}

// 0 where float32 knows no smaller one: times 1e37, e^-87 would be a number again.
fn sigmoid4(x: vec4f) -> vec4f {
  let low = select(x, vec4f(-87.0), x < vec4f(-87.0));
  let y = 1.0 / (1.0 + exp4(-select(low, vec4f(87.0), low > vec4f(87.0))));
  return select(y, vec4f(), x < vec4f(-104.0));
}

// x · sigmoid(scale · x). A NaN survives as the factor, whatever the bounds make of it.
fn gated4(x: vec4f, scale: f32) -> vec4f {
  let y = 1.0 / (1.0 + exp(-clamp(scale * x, vec4f(-87.0), vec4f(87.0))));
  return x * select(y, vec4f(), scale * x < vec4f(-104.0));
}

// tanh of the built-in kind overflows on some drivers for large arguments
fn tanh4(x: vec4f) -> vec4f {
  let size = select(abs(x), vec4f(20.0), abs(x) > vec4f(20.0));
  let e = exp(-2.0 * size);
  let x2 = x * x;
  let series = x * (1.0 - x2 * (0.33333334 - x2 * 0.13333334));
  return select(sign(x) * (1.0 - e) / (1.0 + e), series, abs(x) < vec4f(0.05));
}

fn gelu4(x: vec4f) -> vec4f {
  let tail = normal_tail4(x);
  return x * select(1.0 - tail, tail, x < vec4f());
}

fn activate4(x: vec4f, kind: u32) -> vec4f {
  switch kind {
    case 1u: { return select(x, vec4f(), x < vec4f()); }
    case 2u: { return gated4(x, 1.0); }
    case 3u: { return gelu4(x); }
    case 4u: { return 0.5 * x * (1.0 + tanh4(0.79788456 * (x + 0.044715 * x * x * x))); }
    case 5u: { return gated4(x, 1.702); }
    case 6u: { return tanh4(x); }
    case 7u: { return sigmoid4(x); }
    case 8u: { return exp4(x); }
    default: { return x; }
  }
}
