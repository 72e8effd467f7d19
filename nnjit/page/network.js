"use strict";
// A trained network in the page: what the kernels do, in plain JavaScript on Float32Array.

const nets = (() => {
  const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const floats = text => new Float32Array(bytes(text).buffer);

  const erf = x => {                                    // Abramowitz and Stegun 7.1.26, refined by a series near 0
    if (Math.abs(x) < 2) {
      let sum = x, term = x;
      for (let n = 1; n < 60; n++) { term *= -x * x / n; sum += term / (2 * n + 1); }
      return 2 / Math.sqrt(Math.PI) * sum;
    }
    let fraction = 0;                                   // Laplace's continued fraction of erfc
    for (let n = 60; n > 0; n--) fraction = n / 2 / (Math.abs(x) + fraction);
    return Math.sign(x) * (1 - Math.exp(-x * x) / Math.sqrt(Math.PI) / (Math.abs(x) + fraction));
  };
  const sigmoid = z => 1 / (1 + Math.exp(-z));

  // of each activation the value, and its derivative by z where a is the value
  const ACTIVATIONS = {
    ReLU: [z => Math.max(z, 0), (z, a) => a > 0 ? 1 : 0],
    Tanh: [Math.tanh, (z, a) => 1 - a * a],
    Sigmoid: [sigmoid, (z, a) => a * (1 - a)],
    SiLU: [z => z * sigmoid(z), (z, a) => sigmoid(z) * (1 + z * (1 - sigmoid(z)))],
    Softplus: [z => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))), z => sigmoid(z)],
    GELU: [z => z * (1 + erf(z / Math.SQRT2)) / 2,
      z => (1 + erf(z / Math.SQRT2)) / 2 + z * Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI)],
    LeakyReLU: [(z, l) => z > 0 ? z : l.slope * z, (z, a, l) => z > 0 ? 1 : l.slope],
    ELU: [(z, l) => z > 0 ? z : l.slope * Math.expm1(z), (z, a, l) => z > 0 ? 1 : a + l.slope],
  };

  const size = shape => shape.reduce((a, b) => a * b, 1);

  // ---- a layer: forward(x) and backward(x, a, delta), flat arrays -----------------------------------------

  const dense = l => ({
    forward(x) {
      const [D, H] = l.shape, a = new Float64Array(H);
      for (let k = 0; k < H; k++) a[k] = l.b ? l.b[k] : 0;
      for (let d = 0; d < D; d++) {
        const value = x[d], row = d * H;
        if (value !== 0) for (let k = 0; k < H; k++) a[k] += value * l.W[row + k];
      }
      return a;
    },
    backward(x, a, delta) {
      const [D, H] = l.shape, dx = new Float64Array(D);
      for (let d = 0; d < D; d++) for (let k = 0; k < H; k++) dx[d] += l.W[d * H + k] * delta[k];
      return dx;
    },
  });

  // all (output pixel, input pixel, weight) of a window that slides over an image
  function windows(l, visit) {
    const [h, w] = l.input, [oh, ow] = l.output, [kh, kw] = l.window;
    for (let i = 0; i < oh; i++) for (let j = 0; j < ow; j++)
      for (let p = 0; p < kh; p++) {
        const row = i * l.strides[0] + p * l.dilation[0] - l.top;
        if (row < 0 || row >= h) continue;
        for (let q = 0; q < kw; q++) {
          const column = j * l.strides[1] + q * l.dilation[1] - l.left;
          if (column >= 0 && column < w) visit(i * ow + j, row * w + column, p * kw + q);
        }
      }
  }

  const convolution = l => {
    const C = l.input[2], K = l.output[2];
    return {
      forward(x) {
        const a = new Float64Array(size(l.output));
        if (l.b) for (let o = 0; o < a.length; o++) a[o] = l.b[o % K];
        windows(l, (o, i, t) => {
          for (let c = 0; c < C; c++) {
            const value = x[i * C + c], at = (t * C + c) * K;
            if (value !== 0) for (let k = 0; k < K; k++) a[o * K + k] += value * l.W[at + k];
          }
        });
        return a;
      },
      backward(x, a, delta) {
        const dx = new Float64Array(size(l.input));
        windows(l, (o, i, t) => {
          for (let c = 0; c < C; c++) for (let k = 0; k < K; k++)
            dx[i * C + c] += delta[o * K + k] * l.W[(t * C + c) * K + k];
        });
        return dx;
      },
    };
  };

  const maxPool = l => {
    const C = l.output[2];
    return {
      forward(x) {
        const a = new Float64Array(size(l.output)).fill(-Infinity);
        windows(l, (o, i) => {
          for (let c = 0; c < C; c++) a[o * C + c] = Math.max(a[o * C + c], x[i * C + c]);
        });
        return a;
      },
      backward(x, a, delta) {
        const dx = new Float64Array(size(l.input)), rest = Float64Array.from(delta);
        windows(l, (o, i) => {
          for (let c = 0; c < C; c++) if (x[i * C + c] === a[o * C + c]) {
            dx[i * C + c] += rest[o * C + c]; rest[o * C + c] = 0;
          }
        });
        return dx;
      },
    };
  };

  const averagePool = l => {
    const C = l.output[2], counts = new Float64Array(l.output[0] * l.output[1]);
    windows(l, o => { counts[o]++; });
    return {
      forward(x) {
        const a = new Float64Array(size(l.output));
        windows(l, (o, i) => { for (let c = 0; c < C; c++) a[o * C + c] += x[i * C + c] / counts[o]; });
        return a;
      },
      backward(x, a, delta) {
        const dx = new Float64Array(size(l.input));
        windows(l, (o, i) => { for (let c = 0; c < C; c++) dx[i * C + c] += delta[o * C + c] / counts[o]; });
        return dx;
      },
    };
  };

  // of channels: a = scale x + shift, what BatchNormalization is once it is trained
  const scaled = l => ({
    forward: x => Float64Array.from(x, (value, i) => value * l.scale[i % l.scale.length] + l.shift[i % l.shift.length]),
    backward: (x, a, delta) => Float64Array.from(delta, (value, i) => value * l.scale[i % l.scale.length]),
  });

  const elementwise = l => {
    const [value, slope] = ACTIVATIONS[l.kind];
    return {
      forward: x => Float64Array.from(x, z => value(z, l)),
      backward: (x, a, delta) => Float64Array.from(delta, (d, i) => d * slope(x[i], a[i], l)),
    };
  };

  const MAKE = {Dense: dense, Conv2D: convolution, MaxPool2D: maxPool, AveragePool2D: averagePool, Scale: scaled};

  class Network {
    constructor(description) {
      this.description = description;
      this.layers = description.layers.map(given => {
        const l = {...given};
        for (const name of ["W", "b", "scale", "shift"]) if (l[name]) l[name] = floats(l[name]);
        return {...l, ...(MAKE[l.kind] || elementwise)(l)};
      });
    }

    // every layer's output, the input first
    outputs(pixels) {
      const found = [Float64Array.from(pixels)];
      for (const layer of this.layers) found.push(layer.forward(found[found.length - 1]));
      return found;
    }

    logits(pixels) { return [...this.outputs(pixels).pop()]; }

    probabilities(pixels, temperature = 1, sigmoids = false) {
      return this.decide(this.logits(pixels), temperature, sigmoids);
    }

    // what logits come to; a network for two classes has one logit
    decide(z, temperature = 1, sigmoids = false) {
      const T = temperature * (this.description.temperature || 1);
      if (this.description.head === "Bernoulli") { const p = sigmoid(z[0] / T); return [1 - p, p]; }
      if (sigmoids) return z.map(value => sigmoid(value / T));
      const most = Math.max(...z), e = z.map(value => Math.exp((value - most) / T));
      const sum = e.reduce((a, b) => a + b, 0);
      return e.map(value => value / sum);
    }

    // what each pixel adds to the logit of class k beyond the mean of all: pixel times derivative
    evidence(pixels, k) {
      const outputs = this.outputs(pixels), z = outputs[outputs.length - 1];
      let delta = Float64Array.from(z, (_, i) => z.length === 1 ? (k ? 1 : -1) : (i === k ? 1 : 0) - 1 / z.length);
      for (let i = this.layers.length - 1; i >= 0; i--)
        delta = this.layers[i].backward(outputs[i], outputs[i + 1], delta);
      return Array.from(delta, (value, i) => value * pixels[i]);
    }
  }

  return {Network, bytes, floats};
})();
