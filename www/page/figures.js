// The row of figures below a view, updated while text is generated.

import { make } from './dom.js';
import { bytes, number, t, translated } from './i18n.js';

/**
 * @typedef {object} Measured
 * @property {number} [speed] tokens per second of decode
 * @property {number} [firstMs] from the click to the first word on the page
 * @property {number} [tokens]
 * @property {import('../lib/index.js').SessionStats} [stats]
 * @property {{ cachedTokens: number, promptTokens: number }} [usage]
 * @property {import('../lib/index.js').RunResult['timings']} [timings]
 * @property {import('../lib/index.js').ModelInfo} [info]
 * @property {number} [seed]
 */

/**
 * The engine's build for this model, such as "relaxed SIMD · 2 threads · f16", with the reason if there is
 * only one thread.
 * @param {import('../lib/index.js').ModelInfo} info
 */
function build({ build, threads, threadsReason, dtype }) {
  const kernels = t(`build.${build.replace('-threads', '')}`);
  const key = threads > 1 ? 'threads.many' : `threads.${threadsReason ?? 'one'}`;
  return [kernels, t(key, { count: number(threads) }), dtype].join(' · ');
}

export class Figures {
  #list;
  #reuse;
  /** @type {Measured} */
  #measured = {};

  /**
   * @param {HTMLElement} list a <dl>
   * @param {{ reuse?: boolean }} [settings] whether to show what the cache saved
   */
  constructor(list, { reuse = false } = {}) {
    this.#list = list;
    this.#reuse = reuse;
    translated(() => this.#render());
  }

  /** @param {Measured} measured the values that changed */
  show(measured) {
    Object.assign(this.#measured, measured);
    this.#render();
  }

  #render() {
    const { speed, firstMs, tokens, stats, usage, timings, info, seed } = this.#measured;
    /** @type {[string, string | undefined][]} */
    const rows = [
      ['speed', speed && t('figures.speedValue', { value: number(speed, speed < 20 ? 1 : 0) })],
      ['prefill', timings?.prefillTokensPerSecond ? t('figures.speedValue', { value: number(timings.prefillTokensPerSecond) }) : undefined],
      ['first', firstMs && t('figures.firstValue', { value: number(firstMs, firstMs < 10 ? 1 : 0) })],
      ['tokens', tokens && number(tokens)],
      [
        'reused',
        this.#reuse && usage
          ? t('figures.reusedValue', { cached: number(usage.cachedTokens), prompt: number(usage.promptTokens) })
          : undefined,
      ],
      ['memory', stats?.wasmBytes ? bytes(stats.wasmBytes) : undefined],
      ['build', info && build(info)],
      ['seed', seed === undefined ? undefined : String(seed)],
    ].map(([name, value]) => [String(name), value ? String(value) : undefined]);
    this.#list.replaceChildren(
      ...rows.flatMap(([name, value]) => (value ? [make('div', { className: `figure-${name}` }, make('dt', {}, t(`figures.${name}`)), make('dd', {}, value))] : [])),
    );
  }
}
