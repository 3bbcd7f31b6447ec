// WAV files, mono, 16 bits.

/** Samples in [-1, 1] as 16 bits. */
export function toInt16(samples) {
  return Int16Array.from(samples, (value) => Math.round(32767 * Math.max(-1, Math.min(1, value))));
}

/** A file of the parts, Int16Arrays at `rate` Hz. */
export function wavFile(parts, rate) {
  const bytes = 2 * parts.reduce((sum, part) => sum + part.length, 0);
  const header = new DataView(new ArrayBuffer(44));
  const write = (at, text) => [...text].forEach((letter, index) => header.setUint8(at + index, letter.charCodeAt(0)));
  write(0, "RIFF");
  header.setUint32(4, 36 + bytes, true);
  write(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, rate, true);
  header.setUint32(28, 2 * rate, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  write(36, "data");
  header.setUint32(40, bytes, true);
  return new Blob([header, ...parts], { type: "audio/wav" });
}
