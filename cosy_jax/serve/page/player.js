// Audio that is heard while it comes, by Web Audio.

const RATE = 24000; // Hz of all that the server says
const LEAD = 0.15; // seconds that the first samples wait, and those after a gap: pieces come unevenly

/** Plays pieces without gaps. Not by an AudioWorklet, which pages have over TLS or on the loopback address only. */
export class Player {
  #context = null;
  #tap = null;
  #sources = new Set();
  #runs = []; // { at: seconds of the context, from: seconds of the audio }, one more after each gap
  #length = 0; // seconds that were given
  #peak = 0;
  #window = new Float32Array(1024);

  /** To be called in an event of the user's: browsers give no sound before one. */
  async wake() {
    if (!this.#context) {
      this.#context = new AudioContext({ sampleRate: RATE });
      this.#tap = this.#context.createAnalyser();
      this.#tap.fftSize = this.#window.length;
      this.#tap.connect(this.#context.destination);
    }
    await this.#context.resume();
  }

  /** Silence, and nothing given yet. */
  reset() {
    for (const source of this.#sources) source.stop();
    this.#sources.clear();
    this.#runs = [];
    this.#length = this.#peak = 0;
  }

  /** Appends samples, an Int16Array. */
  push(samples) {
    const buffer = this.#context.createBuffer(1, samples.length, RATE);
    buffer.getChannelData(0).set(Float32Array.from(samples, (value) => value / 32768));
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#tap);
    const run = this.#runs.at(-1);
    if (!run || run.at + this.#length - run.from < this.#context.currentTime) {
      // On a whole sample: elsewhere the browser would interpolate.
      const at = Math.ceil((this.#context.currentTime + LEAD) * RATE) / RATE;
      this.#runs.push({ at, from: this.#length });
    }
    const { at, from } = this.#runs.at(-1);
    source.start(at + this.#length - from);
    this.#length += samples.length / RATE;
    this.#sources.add(source);
    source.onended = () => this.#sources.delete(source);
  }

  /** Seconds of the audio that were heard. */
  get position() {
    const now = this.#context?.currentTime ?? 0;
    const run = this.#runs.findLast(({ at }) => at <= now);
    if (!run) return 0;
    const next = this.#runs[this.#runs.indexOf(run) + 1];
    return Math.min(run.from + now - run.at, next ? next.from : this.#length);
  }

  /** Whether all that was given has been heard. */
  get silent() {
    return this.position >= this.#length;
  }

  /** Seconds that were given. */
  get length() {
    return this.#length;
  }

  /** Times that the audio did not come soon enough. */
  get gaps() {
    return Math.max(this.#runs.length - 1, 0);
  }

  /** The largest sample that went to the loudspeaker since `reset`, in [0, 1]; looks at the latest ones. */
  measure() {
    this.#tap?.getFloatTimeDomainData(this.#window);
    for (const value of this.#window) this.#peak = Math.max(this.#peak, Math.abs(value));
    return this.#peak;
  }
}

export { RATE };
