// wllama: llama.cpp in WebAssembly, without WebGPU. It has no calls below a completion. Its times are those
// of llama.cpp's server in the worker.

import { Wllama } from '/bench-npm/@wllama/wllama/esm/index.js';

const GREEDY = { temperature: 0, top_k: 1, top_p: 1, min_p: 0, repeat_penalty: 1, ignore_eos: true, samplers: ['top_k'] };

const CHANNEL = `memory-${crypto.randomUUID()}`;

/** Makes new workers record their wasm memories and report them on the channel. */
function watchWorkers() {
  const Original = globalThis.Worker;
  globalThis.Worker = class extends Original {
    constructor(url, options) {
      const code = [new URL(`../memory.js?${CHANNEL}`, import.meta.url), url].map((module) => `import ${JSON.stringify(String(module))};`).join('\n');
      super(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })), options);
    }
  };
}

export default class WllamaEngine {
  async load({ folder, format, threads, context }) {
    watchWorkers();
    this.wllama = new Wllama({ default: '/bench-npm/@wllama/wllama/esm/wasm/wllama.wasm' }, { suppressNativeLog: true });
    const url = new URL(`${folder}${format}.gguf`, location.href).href;
    await this.wllama.loadModelFromUrl(url, { n_gpu_layers: 0, n_threads: threads, n_ctx: context, n_parallel: 1, useCache: false });
  }

  /** Prompts are text here: the GGUF files of this benchmark have a vocabulary in which token 7 is " w7". */
  async complete({ ids }, count, cache) {
    const prompt = ids.map((id) => ` w${id}`).join('');
    const { choices, timings } = await this.wllama.createCompletion({ prompt, max_tokens: count, cache_prompt: cache, ...GREEDY });
    if (timings.predicted_n !== count) throw new Error(`the text ended after ${timings.predicted_n} tokens`);
    return { tokens: choices[0].text.match(/\d+/g).map(Number), timings };
  }

  async prefill(prompt) {
    const { timings } = await this.complete(prompt, 1, false);
    if (timings.prompt_n !== prompt.ids.length) throw new Error(`read ${timings.prompt_n} tokens`);
    return { ms: timings.prompt_ms };
  }

  async decode(prompt, count) {
    const { tokens, timings } = await this.complete(prompt, count + 1, true);
    return { ms: timings.predicted_ms, tokens };
  }

  async memory() {
    const channel = new BroadcastChannel(CHANNEL);
    channel.postMessage('how much?');
    const sizes = [];
    channel.onmessage = ({ data }) => Number.isFinite(data) && sizes.push(data);
    await new Promise((resolve) => setTimeout(resolve, 200));
    channel.close();
    // Threads share one memory, so each reports the same size.
    return Math.max(0, ...sizes);
  }

  dispose() {
    return this.wllama.exit();
  }
}
