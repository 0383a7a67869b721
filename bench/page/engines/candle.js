// Candle's Llama, compiled to wasm by this benchmark: simd128, one thread; a forward pass and an argmax per
// token.

import init, { Engine } from '/bench-cache/candle/bench_candle.js';

const bytes = async (url) => new Uint8Array(await (await fetch(url)).arrayBuffer());

export default class Candle {
  async load({ folder, format }) {
    await init();
    this.engine = format === 'f32'
      ? Engine.fromSafetensors(await bytes(`${folder}config.json`), await bytes(`${folder}f32/model.safetensors`))
      : Engine.fromGguf(await bytes(`${folder}${format}.gguf`));
  }

  prefill({ ids }) {
    this.engine.reset();
    this.read = undefined;
    const begin = performance.now();
    const next = this.engine.forward(Uint32Array.from(ids));
    const ms = performance.now() - begin;
    this.engine.save();
    this.read = ids.length;
    this.next = next;
    return { ms };
  }

  decode(prompt, count) {
    if (this.read !== prompt.ids.length) this.prefill(prompt);
    this.engine.restore();
    const tokens = [this.next];
    const begin = performance.now();
    while (tokens.length <= count) tokens.push(this.engine.forward(Uint32Array.of(tokens.at(-1))));
    return { ms: performance.now() - begin, tokens };
  }

  memory() {
    return globalThis.wasmBytes();
  }
}
