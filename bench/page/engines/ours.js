// Fireside, through its package.

import { Session } from '/lib/index.js';

const GREEDY = { temperature: 0, topP: 1, topK: 0, repetitionPenalty: 1 };

export default class Ours {
  async load({ folder, format, threads, ours }) {
    // Loads a file in the requested format if there is one. Otherwise quantises from 16 bits while
    // streaming.
    const stored = ['f32', 'f16', 'bf16'].includes(format) ? format : 'f16';
    this.session = await Session.load(`${folder}${stored}/`, { dtype: format, threads, ...ours });
  }

  async prefill({ text }) {
    await this.session.reset();
    const { timings } = await this.session.generate(text, { ...GREEDY, maxTokens: 1 });
    return { ms: timings.prefillMs };
  }

  async decode({ text }, count) {
    // A session does not read again what it has read.
    const run = await this.session.generate(text, { ...GREEDY, maxTokens: count + 1 });
    if (run.usage.completionTokens !== count + 1) throw new Error(`the text ended after ${run.usage.completionTokens} tokens`);
    return { ms: run.timings.decodeMs, text: run.text };
  }

  async memory() {
    return (await this.session.stats()).wasmBytes;
  }

  /** What the report says about it. */
  info() {
    const { dtype, kernels, build, threads, weightBytes, kvBytesPerToken } = this.session.info();
    return { dtype, kernels, build, threads, weightBytes, kvBytesPerToken };
  }

  dispose() {
    this.session.dispose();
  }
}
