// Hands over what a microphone gives, the mean of its channels.

class Tap extends AudioWorkletProcessor {
  process([channels]) {
    if (channels.length) {
      const mean = channels[0].map((_, n) => channels.reduce((sum, each) => sum + each[n], 0) / channels.length);
      this.port.postMessage(mean, [mean.buffer]);
    }
    return true;
  }
}

registerProcessor("tap", Tap);
