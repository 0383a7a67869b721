// transformers.js: onnxruntime-web's CPU build, through the generate() that its users call.

import { AutoModelForCausalLM, BaseStreamer, env, Tensor } from '/bench-npm/@huggingface/transformers/dist/transformers.min.js';

const DTYPES = { f32: 'fp32', f16: 'fp16', q8: 'q8', q4: 'q4' };

/** Records the time of each token. */
class Clock extends BaseStreamer {
  times = [];
  put() {
    this.times.push(performance.now());
  }
  end() {}
}

export default class Transformers {
  async load({ folder, format, threads }) {
    env.allowLocalModels = true;
    env.allowRemoteModels = false;
    env.localModelPath = folder.replace(/[^/]+\/$/, '');
    env.useBrowserCache = false;
    env.useWasmCache = false;
    const place = new URL('/bench-npm/onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify', location.href).href;
    env.backends.onnx.wasm.wasmPaths = { mjs: `${place}.mjs`, wasm: `${place}.wasm` };
    env.backends.onnx.wasm.numThreads = threads;
    this.model = await AutoModelForCausalLM.from_pretrained(folder.match(/([^/]+)\/$/)[1], { dtype: DTYPES[format], device: 'wasm' });
  }

  /** Generates `count` tokens after `ids`, whose beginning may be in the cache. */
  async generate(ids, count, cache) {
    const clock = new Clock();
    const begin = performance.now();
    const { sequences, past_key_values } = await this.model.generate({
      inputs: new Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]),
      attention_mask: new Tensor('int64', new BigInt64Array(ids.length).fill(1n), [1, ids.length]),
      max_new_tokens: count, min_new_tokens: count, do_sample: false, return_dict_in_generate: true, streamer: clock, past_key_values: cache,
    });
    const [, ...times] = clock.times; // the first belongs to the prompt
    return { begin, times, tokens: Array.from(sequences.data.slice(ids.length), Number), cache: past_key_values };
  }

  async prefill({ ids }) {
    this.read = undefined;
    const { begin, times, tokens, cache } = await this.generate(ids, 1);
    this.read = { ids: [...ids, ...tokens], cache };
    return { ms: times[0] - begin };
  }

  async decode(prompt, count) {
    if (this.read?.ids.length !== prompt.ids.length + 1) await this.prefill(prompt);
    const { ids, cache } = this.read;
    // A run adds to its cache by replacing tensors, so it gets a copy.
    const copy = Object.assign(Object.create(Object.getPrototypeOf(cache)), cache);
    const { times, tokens } = await this.generate(ids, count + 1, copy);
    return { ms: times.at(-1) - times[0], tokens: [ids.at(-1), ...tokens.slice(0, -1)] };
  }

  memory() {
    return globalThis.wasmBytes();
  }
}
