// What was made in this visit.

import { RATE } from "/page/player.js";
import { wavFile } from "/page/wav.js";

const MOST = 50;

export class History {
  #made = 0;

  /** `replay(take)` and `again(take)` are what its buttons do. */
  constructor(list, replay, again) {
    this.list = list;
    this.replay = replay;
    this.again = again;
  }

  /** A take: { title, about, parts (Int16Arrays), body (of the request for speech, or undefined) }. */
  add(take) {
    const entry = document.getElementById("history-template").content.cloneNode(true);
    const number = ++this.#made;
    entry.querySelector(".said").textContent = take.title;
    entry.querySelector(".made").textContent = take.about;
    const button = (name, act) => {
      const found = entry.querySelector(name);
      // Of many alike, each is told apart by what it is for.
      found.setAttribute("aria-label", `${found.textContent}: ${take.title.slice(0, 60)}`);
      found.addEventListener("click", act);
      return found;
    };
    button(".replay", () => this.replay(take));
    button(".download", () => download(wavFile(take.parts, RATE), `speech-${number}.wav`));
    button(".again", () => this.again(take)).hidden = !take.body;
    this.list.prepend(entry);
    while (this.list.children.length > MOST) this.list.lastElementChild.remove();
    document.getElementById("no-history").hidden = true;
  }
}

function download(file, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // by then the browser has it
}
