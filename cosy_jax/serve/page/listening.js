// One audio at a time: asked for, heard and seen while it comes.

import { ask, samplesOf } from "/page/api.js";
import { Picture } from "/page/picture.js";
import { Player, RATE } from "/page/player.js";
import { Frames } from "/page/spectrum.js";

const PATIENCE = 4000; // milliseconds without audio until the user is told why
const WAV_HEADER = 22; // samples' places

const find = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Listening {
  #player = new Player();
  #picture = new Picture(find("waveform"), find("mel"));
  #frames = null;
  #abort = null;
  #complete = true; // nothing more comes
  #turn = 0;

  constructor(say) {
    this.say = say;
    find("stop").addEventListener("click", () => this.stop());
  }

  /** Whether something comes or is heard. */
  get busy() {
    return !find("stop").disabled;
  }

  /** Plays the answer that `request(signal)` promises; gives its parts and figures, or null where it was stopped. */
  async hear(request, header = false) {
    const turn = await this.#begin();
    const abort = (this.#abort = new AbortController());
    const asked = performance.now();
    const patience = setTimeout(() => this.#explain(turn), PATIENCE);
    const parts = [];
    let [first, skip] = [0, header ? WAV_HEADER : 0];
    this.say("Waiting for the first audio …");
    try {
      for await (const all of samplesOf(await request(abort.signal))) {
        const samples = all.subarray(Math.min(skip, all.length));
        skip -= all.length - samples.length;
        if (!samples.length) continue;
        if (!parts.length) {
          first = (performance.now() - asked) / 1000;
          clearTimeout(patience);
          find("first-audio").textContent = `${first.toFixed(2)} s`;
          this.#state("playing", "Speaking …");
        }
        parts.push(samples);
        this.#take(samples);
        find("factor").textContent = ((performance.now() - asked) / 1000 / this.#player.length).toFixed(2);
      }
    } catch (error) {
      if (turn === this.#turn) this.#finish(error.name === "AbortError" ? "Stopped." : "");
      if (error.name === "AbortError") return null;
      throw error;
    } finally {
      clearTimeout(patience);
    }
    if (turn !== this.#turn) return null;
    this.#complete = true;
    return { parts, first, factor: find("factor").textContent, seconds: this.#player.length };
  }

  /** Plays what is here. */
  async replay(parts) {
    await this.#begin();
    this.#state("playing", "Playing again …");
    for (const samples of parts) this.#take(samples);
    this.#complete = true;
  }

  /** Ends what comes and what is heard. */
  stop() {
    if (!this.busy) return;
    this.#abort?.abort();
    this.#finish("Stopped.");
  }

  async #begin() {
    this.#abort?.abort();
    const turn = ++this.#turn;
    await this.#player.wake();
    this.#player.reset();
    this.#frames = new Frames(RATE);
    this.#picture.show(this.#frames);
    this.#complete = false;
    find("player").dataset.peak = "0";
    for (const id of ["first-audio", "factor", "duration", "gaps"]) find(id).textContent = "–";
    find("stop").disabled = false;
    this.#state("waiting", "");
    // On a phone it lies below the fields.
    find("player").scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });
    requestAnimationFrame(() => this.#tick(turn));
    return turn;
  }

  #take(samples) {
    this.#player.push(samples);
    this.#frames.push(samples);
    find("duration").textContent = `${this.#player.length.toFixed(2)} s`;
    find("gaps").textContent = String(this.#player.gaps);
  }

  #tick(turn) {
    if (turn !== this.#turn || !this.busy) return;
    const { position } = this.#player;
    this.#picture.draw(calm.matches ? Math.floor(position) : position, this.#complete);
    const peak = this.#player.measure().toFixed(4);
    if (find("player").dataset.peak !== peak) find("player").dataset.peak = peak; // a change costs a layout
    if (this.#complete && this.#player.silent) this.#finish("Done.");
    else requestAnimationFrame(() => this.#tick(turn));
  }

  #finish(text) {
    this.#picture.draw(0, true);
    this.#player.reset();
    this.#abort = null;
    if (document.activeElement === find("stop")) find("status").focus(); // a disabled button loses it
    find("stop").disabled = true;
    this.#state("idle", text);
  }

  #state(state, text) {
    find("player").dataset.state = state;
    if (text) this.say(text);
  }

  async #explain(turn) {
    const health = await ask("/ready").catch((error) => error);
    if (turn !== this.#turn || find("player").dataset.state !== "waiting") return;
    this.say(health.status === 503 ? "Still waiting: the server is compiling its programs."
      : "Still waiting: others are served, or a program is compiled that was not needed before.");
  }
}
