// A field for a recording: by the microphone, or a file.

import { toInt16, wavFile } from "/page/wav.js";

const READ_BY_THE_SERVER = /\.(wav|flac|ogg|opus|mp3)$/i;

/** A microphone's samples, from `open` to `close`. */
class Microphone {
  static async open() {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers record over https or on this machine only: choose a file, or open the page there.");
    }
    const microphone = new Microphone();
    // As it is: what cleans telephone calls takes from the voice.
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
    try {
      microphone.stream = await navigator.mediaDevices.getUserMedia({ audio });
    } catch (error) {
      const refused = error.name === "NotAllowedError";
      throw new Error(refused ? "The microphone was not allowed: allow it, or choose a file."
        : "There is no microphone that works: choose a file.");
    }
    microphone.parts = [];
    microphone.context = new AudioContext();
    await microphone.context.audioWorklet.addModule("/page/recorder-worklet.js");
    const tap = new AudioWorkletNode(microphone.context, "tap", { numberOfOutputs: 0 });
    tap.port.onmessage = ({ data }) => microphone.parts.push(toInt16(data));
    microphone.context.createMediaStreamSource(microphone.stream).connect(tap);
    return microphone;
  }

  get seconds() {
    return this.parts.reduce((sum, part) => sum + part.length, 0) / this.context.sampleRate;
  }

  /** The WAV file. */
  async close() {
    this.stream.getTracks().forEach((track) => track.stop());
    await this.context.close();
    return wavFile(this.parts, this.context.sampleRate);
  }
}

/** The field in an element; `longest` seconds are recorded at most. `say(text)` and `fail(error)` tell the user. */
export class RecordingField {
  #file = null;
  #microphone = null;

  constructor(element, longest, say, fail) {
    element.append(document.getElementById("recording-template").content.cloneNode(true));
    [this.button, this.input, this.label, this.audio] =
      [".record", "input", ".recorded", "audio"].map((name) => element.querySelector(name));
    this.longest = longest;
    this.say = say;
    const caught = (act) => () => act().catch(fail);
    this.button.addEventListener("click", caught(() => (this.#microphone ? this.#stop() : this.#start())));
    this.input.addEventListener("change", caught(() => this.#choose()));
  }

  /** What there is; an Error where there is nothing. */
  get file() {
    if (!this.#file) throw new Error("There is no recording yet: record one, or choose a file.");
    return this.#file;
  }

  clear() {
    this.#file = null;
    this.audio.hidden = true;
    this.audio.removeAttribute("src");
    this.label.textContent = "No recording yet.";
    this.input.value = "";
  }

  async #start() {
    this.button.disabled = true; // while the user is asked for the microphone
    try {
      this.#microphone = await Microphone.open();
    } finally {
      this.button.disabled = false;
      this.button.focus(); // which it lost
    }
    this.button.textContent = "Stop recording";
    this.button.setAttribute("aria-pressed", "true");
    this.say("Recording.");
    this.timer = setInterval(() => {
      const { seconds } = this.#microphone;
      this.label.textContent = `${seconds.toFixed(1)} s`;
      if (seconds >= this.longest) this.#stop();
    }, 100);
  }

  async #stop() {
    clearInterval(this.timer);
    const microphone = this.#microphone;
    this.#microphone = null;
    this.button.textContent = "Record";
    this.button.removeAttribute("aria-pressed");
    const { seconds } = microphone;
    this.#keep(await microphone.close(), `Recorded, ${seconds.toFixed(1)} s.`);
  }

  async #choose() {
    const [file] = this.input.files;
    if (file) this.#keep(READ_BY_THE_SERVER.test(file.name) ? file : await decoded(file), `Chosen: ${file.name}`);
  }

  #keep(file, label) {
    this.#file = file;
    URL.revokeObjectURL(this.audio.src);
    this.audio.src = URL.createObjectURL(file);
    this.audio.hidden = false;
    this.label.textContent = label;
    this.say(label);
  }
}

/** What the server cannot read but the browser can, such as a telephone's M4A, as WAV. */
async function decoded(file) {
  const context = new OfflineAudioContext(1, 1, 24000);
  try {
    const audio = await context.decodeAudioData(await file.arrayBuffer());
    const channels = Array.from({ length: audio.numberOfChannels }, (_, n) => audio.getChannelData(n));
    const mean = channels[0].map((_, n) => channels.reduce((sum, each) => sum + each[n], 0) / channels.length);
    return wavFile([toInt16(mean)], audio.sampleRate);
  } catch {
    throw new Error(`${file.name} holds no audio that this browser can read: convert it to WAV, FLAC, OGG or MP3.`);
  }
}
