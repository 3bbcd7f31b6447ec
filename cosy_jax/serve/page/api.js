// The server's interface: its key, its errors in words, its audio as samples.

const KEY = "cosy_jax.key"; // in the session's storage, which ends with the tab
const GONE = "The server does not answer: it has stopped, or the connection is broken.";
const BROKEN = "The audio broke off: the server has stopped, or the connection is broken.";

/** What went wrong, in words; `status` is HTTP's, 0 where there was no answer. */
export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Keeps a key for this tab; an Error for one that no header can carry. */
export function keepKey(key) {
  if (!/^[\x20-\x7e]+$/.test(key)) throw new Error("A key consists of letters, digits and signs of ASCII.");
  sessionStorage.setItem(KEY, key);
}

/** The server's answer; ServerError for any that is none of success. */
export async function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  const key = sessionStorage.getItem(KEY);
  if (key) headers.set("Authorization", `Bearer ${key}`);
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    throw error.name === "AbortError" ? error : new ServerError(GONE, 0);
  }
  if (!response.ok) throw new ServerError(await words(response), response.status);
  return response;
}

/** The answer to a text. */
export function askSpeech(body, signal) {
  const headers = { "Content-Type": "application/json" };
  return ask("/v1/audio/speech", {
    method: "POST", headers, signal, body: JSON.stringify({ ...body, response_format: "pcm" }),
  });
}

/** The answer to a form of fields, of which files are some. */
export function askForm(path, fields, signal) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  return ask(path, { method: "POST", body, signal });
}

/** An answer's 16-bit PCM as Int16Arrays, as they come. */
export async function* samplesOf(response) {
  const reader = response.body.getReader();
  let left = new Uint8Array(0); // half a sample
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      throw error.name === "AbortError" ? error : new ServerError(BROKEN, 0);
    }
    if (part.done) return;
    const bytes = new Uint8Array(left.length + part.value.length);
    bytes.set(left);
    bytes.set(part.value, left.length);
    const whole = bytes.length - (bytes.length % 2);
    left = bytes.slice(whole);
    if (whole) yield new Int16Array(bytes.buffer, 0, whole / 2);
  }
}

async function words(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered ${response.status} ${response.statusText}`.trim() + ".";
  }
}
