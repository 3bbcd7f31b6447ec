// The saved voices: which is chosen, what is known of it, new ones, and none of some.

import { ask, askForm } from "/page/api.js";
import { RecordingField } from "/page/recorder.js";

const LONGEST = 30; // seconds of a recording
const PATH = "/v1/audio/voices";
const find = (id) => document.getElementById(id);

export class Voices {
  #known = [];

  /** `say(text)` tells the user, `attempt(act)` calls an asynchronous function and tells what it throws. */
  constructor(say, attempt) {
    this.say = say;
    const fail = (error) => attempt(() => Promise.reject(error));
    this.field = new RecordingField(find("voice-recording"), LONGEST, say, fail);
    find("voice").addEventListener("change", () => this.#describe());
    find("remove").addEventListener("click", () => attempt(() => this.#remove()));
    find("voice-form").addEventListener("submit", (event) => {
      event.preventDefault();
      attempt(() => this.#save());
    });
  }

  /** The chosen one; an Error where there is none. */
  get chosen() {
    const voice = this.#known.find(({ name }) => name === find("voice").value);
    if (!voice) throw new Error("There is no voice yet: make one under New voice.");
    return voice;
  }

  /** Where its preview is. */
  get previewPath() {
    return `${PATH}/${encodeURIComponent(this.chosen.name)}/preview`;
  }

  /** Asks the server anew, and chooses one by its name, or the one that was chosen. */
  async load(name = find("voice").value) {
    this.#known = (await (await ask(PATH)).json()).data;
    find("voice").replaceChildren(...this.#known.map((voice) => new Option(voice.name)));
    if (this.#known.some((voice) => voice.name === name)) find("voice").value = name;
    for (const id of ["voice", "preview", "remove"]) find(id).disabled = !this.#known.length;
    if (!this.#known.length) find("new-voice").open = true;
    this.#describe();
  }

  #describe() {
    const voice = this.#known.find(({ name }) => name === find("voice").value);
    const said = voice?.transcript ? `“${voice.transcript}”` : "without a transcript";
    find("voice-about").textContent = voice ? `${voice.seconds.toFixed(1)} s, ${said}`
      : "There is no voice yet: make one under New voice.";
  }

  async #save() {
    const [name, button] = [find("voice-name").value.trim(), find("save-voice")];
    const recording = this.field.file;
    button.disabled = true;
    this.say(`Saving ${name} …`);
    try {
      await askForm(PATH, { name, audio_sample: recording, ref_text: find("transcript").value.trim() });
    } finally {
      button.disabled = false;
      button.focus(); // which it lost
    }
    await this.load(name);
    this.field.clear();
    find("voice-form").reset();
    find("new-voice").open = false;
    find("voice").focus();
    this.say(`${name} is saved and chosen.`);
  }

  async #remove() {
    const { name } = this.chosen;
    if (!confirm(`Remove the voice ${name} from the server?`)) return;
    await ask(`${PATH}/${encodeURIComponent(name)}`, { method: "DELETE" });
    await this.load();
    this.say(`${name} is removed.`);
  }
}
