// The page: what its fields ask for, and what the user is told.

import { ask, askForm, askSpeech, keepKey } from "/page/api.js";
import { History } from "/page/history.js";
import { Listening } from "/page/listening.js";
import { RecordingField } from "/page/recorder.js";
import { makeTabs } from "/page/tabs.js";
import { Voices } from "/page/voices.js";

const LONGEST_SOURCE = 100; // seconds that are recorded: of 48 kHz, what the server takes in one request
const SEEDS = 2 ** 31;

const find = (id) => document.getElementById(id);

function say(text) {
  find("status").textContent = text;
}

/** Tells what goes wrong in `act`, an asynchronous function, and asks for a key where that is missing. */
async function attempt(act) {
  find("error").hidden = true;
  try {
    await act();
  } catch (error) {
    if (find("player").dataset.state === "idle") say("Ready.");
    find("error").textContent = error.message;
    find("error").hidden = false;
    if (error.status === 401) {
      find("key-form").hidden = false;
      find("key").focus();
    }
  }
}

const listening = new Listening(say);
const voices = new Voices(say, attempt);
const fail = (error) => attempt(() => Promise.reject(error));
const source = new RecordingField(find("source-recording"), LONGEST_SOURCE, say, fail);
const history = new History(find("history"), (take) => attempt(() => listening.replay(take.parts)), again);
let longestText = Infinity;

/** The body of the request that the fields describe. */
function speechBody() {
  const voice = voices.chosen;
  const instructions = find("instructions").value.trim();
  // Without a transcript there is nothing to continue.
  const mode = find("mode").value || (voice.transcript || instructions ? "" : "cross-lingual");
  const body = {
    input: find("text").value,
    voice: voice.name,
    speed: Number(find("speed").value),
    seed: Number(find("seed").value),
  };
  for (const [name, value] of Object.entries({ mode, instructions, language: find("language").value })) {
    if (value) body[name] = value;
  }
  return body;
}

async function speak(body) {
  const made = await listening.hear((signal) => askSpeech(body, signal));
  if (!made) return;
  const { voice, seed, mode, instructions, speed } = body;
  const parts = [voice, `seed ${seed}`, mode, instructions, speed !== 1 && `speed ${speed}`];
  history.add({ title: body.input, about: about(parts, made), parts: made.parts, body });
}

async function convert() {
  const fields = {
    audio: source.file, voice: voices.chosen.name, speed: find("convert-speed").value, response_format: "pcm",
  };
  const made = await listening.hear((signal) => askForm("/v1/audio/conversions", fields, signal));
  if (made) history.add({ title: "A recording, converted", about: about([fields.voice], made), parts: made.parts });
}

function about(parts, { seconds, first, factor }) {
  const figures = [`${seconds.toFixed(2)} s`, `first audio after ${first.toFixed(2)} s`, `real-time factor ${factor}`];
  return [...parts.filter(Boolean), ...figures].join(" · ");
}

function newSeed() {
  return Math.floor(Math.random() * SEEDS);
}

function again(take) {
  const seed = newSeed();
  find("seed").value = seed;
  attempt(() => speak({ ...take.body, seed }));
}

function count() {
  const characters = [...find("text").value].length; // as the server counts: not by UTF-16
  const tooLong = characters > longestText;
  find("counter").textContent = Number.isFinite(longestText) ? `${characters} of ${longestText} characters`
    : `${characters} characters`;
  find("counter").classList.toggle("too-long", tooLong);
  find("text").setCustomValidity(tooLong ? `The text is longer than ${longestText} characters: split it.` : "");
}

async function load() {
  await voices.load();
  const [model] = (await (await ask("/v1/models")).json()).data;
  longestText = model.longest_text;
  count();
  find("key-form").hidden = true;
}

function onSubmit(id, act) {
  find(id).addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(act);
  });
}

for (const id of ["speed", "convert-speed"]) {
  find(id).addEventListener("input", () => (find(`${id}-value`).textContent = Number(find(id).value).toFixed(2)));
}
onSubmit("speak-panel", () => speak(speechBody()));
onSubmit("convert-panel", convert);
onSubmit("key-form", async () => {
  keepKey(find("key").value.trim());
  find("key").value = "";
  await load();
  find("text").focus();
});
find("preview").addEventListener("click", () =>
  attempt(() => listening.hear((signal) => ask(voices.previewPath, { signal }), true)));
find("new-seed").addEventListener("click", () => (find("seed").value = newSeed()));
find("text").addEventListener("input", count);
find("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) find("speak-panel").requestSubmit();
});
document.addEventListener("keydown", (event) => event.key === "Escape" && listening.stop());
makeTabs(document.querySelector("[role=tablist]"));
count();
attempt(load);
