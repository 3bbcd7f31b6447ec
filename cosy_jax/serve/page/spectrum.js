// Frames of audio as it comes: extremes of the waveform, and a log-mel spectrum.

const HOP = 480; // samples: 50 frames a second at 24 kHz, as the model has them
const SIZE = 1024;
const BANDS = 80;
const FLOOR = Math.log(1e-5);

const HALF = SIZE / 2;
const HANN = Float32Array.from({ length: SIZE }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / SIZE));
const COS = Float32Array.from({ length: HALF }, (_, n) => Math.cos((2 * Math.PI * n) / SIZE));
const SIN = Float32Array.from({ length: HALF }, (_, n) => -Math.sin((2 * Math.PI * n) / SIZE));
const REVERSED = Uint16Array.from({ length: SIZE }, (_, n) => {
  let found = 0;
  for (let bit = 1; bit < SIZE; bit <<= 1) found = (found << 1) | (n & bit ? 1 : 0);
  return found;
});

/** In place, of SIZE complex values. */
function transform(real, imaginary) {
  for (let n = 0; n < SIZE; n++) {
    const m = REVERSED[n];
    if (m > n) {
      [real[n], real[m]] = [real[m], real[n]];
      [imaginary[n], imaginary[m]] = [imaginary[m], imaginary[n]];
    }
  }
  for (let width = 1; width < SIZE; width *= 2) {
    const step = HALF / width;
    for (let start = 0; start < SIZE; start += 2 * width) {
      for (let n = 0; n < width; n++) {
        const [a, b] = [start + n, start + n + width];
        const [c, s] = [COS[n * step], SIN[n * step]];
        const re = real[b] * c - imaginary[b] * s;
        const im = real[b] * s + imaginary[b] * c;
        [real[b], imaginary[b]] = [real[a] - re, imaginary[a] - im];
        [real[a], imaginary[a]] = [real[a] + re, imaginary[a] + im];
      }
    }
  }
}

/** Triangles over the magnitudes, each { first, weights }, evenly spaced on the mel scale up to half of `rate`. */
function melFilters(rate) {
  const mel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
  const top = mel(rate / 2);
  const edges = Array.from({ length: BANDS + 2 }, (_, n) => (700 * (10 ** ((top * n) / (BANDS + 1) / 2595) - 1)));
  const bins = edges.map((hertz) => (hertz * SIZE) / rate);
  return Array.from({ length: BANDS }, (_, band) => {
    const [left, middle, right] = bins.slice(band, band + 3);
    const first = Math.ceil(left);
    const length = Math.max(Math.floor(right) - first + 1, 0);
    const weights = Array.from({ length }, (_, n) =>
      Math.max(0, Math.min((first + n - left) / (middle - left), (right - first - n) / (right - middle))));
    // The lowest bands may be narrower than what a window tells apart: they take the bin that is nearest.
    return weights.some(Boolean) ? { first, weights } : { first: Math.round(middle), weights: [1] };
  });
}

/** All frames of one audio. */
export class Frames {
  low = []; // of the samples, in [-1, 1]
  high = [];
  mel = []; // Uint8Array (BANDS,), the lowest frequency first: 0 is silence
  #left = new Int16Array(0);
  #window = new Float32Array(SIZE); // the latest samples
  #filters;

  constructor(rate) {
    this.#filters = melFilters(rate);
    this.perSecond = rate / HOP;
  }

  get length() {
    return this.mel.length;
  }

  /** Appends samples, an Int16Array. */
  push(samples) {
    const all = new Int16Array(this.#left.length + samples.length);
    all.set(this.#left);
    all.set(samples, this.#left.length);
    let at = 0;
    for (; at + HOP <= all.length; at += HOP) this.#frame(all.subarray(at, at + HOP));
    this.#left = all.slice(at);
  }

  #frame(samples) {
    let [low, high] = [0, 0];
    this.#window.copyWithin(0, HOP);
    samples.forEach((value, n) => {
      this.#window[SIZE - HOP + n] = value / 32768;
      low = Math.min(low, value);
      high = Math.max(high, value);
    });
    this.low.push(low / 32768);
    this.high.push(high / 32768);
    const real = this.#window.map((value, n) => value * HANN[n]);
    const imaginary = new Float32Array(SIZE);
    transform(real, imaginary);
    this.mel.push(Uint8Array.from(this.#filters, ({ first, weights }) => {
      let sum = 0;
      weights.forEach((weight, n) => (sum += weight * Math.hypot(real[first + n], imaginary[first + n])));
      const level = (Math.log(Math.max(sum, 1e-5)) - FLOOR) / (Math.log(100) - FLOOR);
      return Math.round(255 * Math.min(1, level));
    }));
  }
}

export { BANDS };
