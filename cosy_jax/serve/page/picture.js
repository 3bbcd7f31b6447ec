// Waveform and mel on two canvases, growing from the left; what is too long for them is drawn anew at half the scale.

import { BANDS } from "/page/spectrum.js";

const SHORTEST = 4; // seconds that the width stands for at first
const WIDEST = 1200; // pixels of a canvas
const STEPS = [1, 2, 5, 10, 20, 30, 60, 120, 300];

// Black by violet, red and yellow, by the loudness.
const COLOURS = [[0, 0, 4], [61, 15, 113], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];
const PALETTE = Array.from({ length: 256 }, (_, level) => {
  const place = (level / 256) * (COLOURS.length - 1);
  const [below, part] = [Math.floor(place), place % 1];
  return COLOURS[below].map((value, n) => Math.round(value + part * (COLOURS[below + 1][n] - value)));
});

export class Picture {
  #frames = null;
  #drawn = 0; // columns
  #shown = 0; // frames that the width stands for
  #head = 0; // seconds

  constructor(waveform, mel) {
    this.waveform = waveform;
    this.mel = mel;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#anew());
    new ResizeObserver(() => this.#anew()).observe(waveform);
  }

  /** Begins with the Frames of another audio. */
  show(frames) {
    this.#frames = frames;
    this.#shown = SHORTEST * frames.perSecond;
    this.#head = 0;
    this.#anew();
  }

  /** Draws what has come, and where the listener is. `all`: as wide as the canvas. */
  draw(seconds, all = false) {
    if (!this.#frames) return;
    const { length } = this.#frames;
    const before = this.#shown;
    while (length > this.#shown) this.#shown *= 2;
    if (all && length) this.#shown = length;
    if (before !== this.#shown) this.#anew();
    const moved = seconds !== this.#head;
    this.#head = seconds;
    if (this.#drawMel() || moved) this.#drawWaveform();
  }

  #anew() {
    const width = Math.min(Math.round(this.waveform.clientWidth * devicePixelRatio), WIDEST);
    if (!width) return;
    this.waveform.width = this.mel.width = width;
    this.waveform.height = Math.round((this.waveform.clientHeight * width) / this.waveform.clientWidth);
    this.mel.height = BANDS;
    this.#drawn = 0;
    if (!this.#frames) return;
    this.#drawMel();
    this.#drawWaveform();
  }

  /** The frames of a column: first and last, not included. */
  #range(column) {
    const scale = this.#shown / this.mel.width;
    const first = Math.floor(column * scale);
    return [first, Math.max(Math.floor((column + 1) * scale), first + 1)];
  }

  /** Columns that are new, and whether there are any. */
  #drawMel() {
    const { mel, length } = this.#frames;
    const context = this.mel.getContext("2d");
    const from = this.#drawn;
    while (this.#drawn < this.mel.width && this.#range(this.#drawn)[1] <= length) {
      const [first, last] = this.#range(this.#drawn);
      const image = context.createImageData(1, BANDS);
      for (let band = 0; band < BANDS; band++) {
        let loudest = 0;
        for (let frame = first; frame < last; frame++) loudest = Math.max(loudest, mel[frame][band]);
        image.data.set([...PALETTE[loudest], 255], 4 * (BANDS - 1 - band));
      }
      context.putImageData(image, this.#drawn++, 0);
    }
    return this.#drawn > from;
  }

  #drawWaveform() {
    const { low, high, perSecond } = this.#frames;
    const { width, height } = this.waveform;
    const context = this.waveform.getContext("2d");
    const style = getComputedStyle(this.waveform);
    const colour = (name) => style.getPropertyValue(name).trim();
    const y = (value) => (height / 2) * (1 - value);
    context.clearRect(0, 0, width, height);
    this.#drawSeconds(context, colour("--soft"), colour("--line"));
    context.fillStyle = colour("--wave");
    for (let column = 0; column < this.#drawn; column++) {
      const [first, last] = this.#range(column);
      const top = y(Math.max(...high.slice(first, last)));
      context.fillRect(column, top, 1, Math.max(y(Math.min(...low.slice(first, last))) - top, 1));
    }
    if (this.#head > 0) {
      context.fillStyle = colour("--head");
      context.fillRect((this.#head * perSecond * width) / this.#shown, 0, 2, height);
    }
  }

  #drawSeconds(context, text, line) {
    const { width, height } = this.waveform;
    const perSecond = (width * this.#frames.perSecond) / this.#shown;
    const size = Math.round((11 * width) / this.waveform.clientWidth);
    const step = STEPS.find((seconds) => seconds * perSecond > 5 * size) ?? STEPS.at(-1);
    context.font = `${size}px system-ui, sans-serif`;
    for (let second = step; second * perSecond < width; second += step) {
      context.fillStyle = line;
      context.fillRect(second * perSecond, 0, 1, height);
      context.fillStyle = text;
      context.fillText(`${second} s`, second * perSecond + size / 3, height - size / 3);
    }
  }
}
