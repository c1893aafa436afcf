// Derivatives of lib/activation.wgsl's activations at x, four at once, in f32.

fn silu_slope4(x: vec4f) -> vec4f {
  let s = sigmoid4(x);
  return s * (1.0 + x * (1.0 - s));
}

// Φ(x) + x · φ(x)
fn gelu_slope4(x: vec4f) -> vec4f {
  let tail = normal_tail4(x);
  let density = 0.3989423 * exp4(-0.5 * x * x);
  return select(1.0 - tail, tail, x < vec4f()) + x * density;
}

fn slope4(x: vec4f, kind: u32) -> vec4f {
  switch kind {
    case 1u: { return select(vec4f(), vec4f(1.0), x > vec4f()); }
    case 2u: { return silu_slope4(x); }
    case 3u: { return gelu_slope4(x); }
    case 4u: {
      // beyond ±20 the slope is 0 or 1, and x² no longer matters but could overflow
      let low = select(x, vec4f(-20.0), x < vec4f(-20.0));
      let z = select(low, vec4f(20.0), low > vec4f(20.0));
      let t = tanh4(0.79788456 * (z + 0.044715 * z * z * z));
      return 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * 0.79788456 * (1.0 + 0.134145 * z * z);
    }
    case 5u: {
      let s = sigmoid4(1.702 * x);
      return s + s * x * (1.702 * (1.0 - s)); // 1.702 x alone may overflow
    }
    case 6u: {
      let t = tanh4(x);
      return 1.0 - t * t;
    }
    case 7u: {
      let s = sigmoid4(x);
      return s * (1.0 - s);
    }
    case 8u: { return exp4(x); }
    default: { return vec4f(1.0); }
  }
}
