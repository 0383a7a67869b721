// The live chart of tokens per second: decode as a line over the number of tokens, and the prefill of each
// run as a dot at its start, with a separate axis.
//
// uPlot draws it: 22 KB after gzip, without dependencies. The page fetches it after the model has loaded,
// so that nothing waits for it and it works offline later. Its minified file is a classic script; its
// module build is twice as large.

import { make } from './dom.js';
import { number, t, translated } from './i18n.js';

/** @import uPlot from 'uplot' */

/**
 * A reading spans two time slices of the engine, or more if a token takes longer; the first may be shorter.
 */
const [WINDOW_MS, FIRST_MS] = [32, 8];
/** Draws every tenth of a second, or every second if the visitor prefers reduced motion. */
const [DRAW_MS, DRAW_CALM_MS] = [100, 1000];
const POINTS_MAX = 1500;
const HEIGHT = 116;

/** @type {Promise<typeof uPlot> | undefined} */
let library;

/** @returns {Promise<typeof uPlot>} */
function fetchLibrary() {
  library ??= new Promise((resolve, reject) => {
    document.head.append(make('link', { rel: 'stylesheet', href: 'vendor/uplot/dist/uPlot.min.css' }));
    const script = make('script', { src: 'vendor/uplot/dist/uPlot.iife.min.js' });
    script.addEventListener('load', () => resolve(Reflect.get(globalThis, 'uPlot')));
    script.addEventListener('error', () => reject(new Error('the chart could not be fetched')));
    document.head.append(script);
  });
  library.catch(() => (library = undefined));
  return library;
}

export class SpeedChart {
  #node;
  #plot = make('div', { className: 'plot', role: 'img' });
  #caption = make('figcaption');
  /** @type {uPlot | undefined} */
  #chart;
  /**
   * Columns: the number of tokens, decode, prefill.
   * @type {[number[], (number | null)[], (number | null)[]]}
   */
  #data = [[], [], []];
  /** Tokens of the earlier runs. */
  #before = 0;
  #runTokens = 0;
  /**
   * The last readings of this run: tokens, and the milliseconds of decode that they took.
   * @type {[number, number][]}
   */
  #readings = [];
  #timer = 0;
  /** @type {{ decode?: number, prefill?: number }} */
  #last = {};

  /** @param {HTMLElement} node a <figure> */
  constructor(node) {
    this.#node = node;
    node.replaceChildren(this.#caption, this.#plot);
    translated(() => this.#describe());
    new MutationObserver(() => this.#restyle()).observe(document.documentElement, { attributeFilter: ['data-theme', 'lang'] });
    new ResizeObserver(() => this.#chart?.setSize(this.#size())).observe(this.#plot);
  }

  /** Fetches the chart library. */
  prepare() {
    fetchLibrary().catch(() => {}); // the page works without a chart
  }

  /** Starts a run. */
  begin() {
    this.#before += this.#runTokens;
    this.#runTokens = 0;
    this.#readings = [];
  }

  /** Adds a piece of the run's text. @param {{ completionTokens: number, tokensPerSecond: number }} piece */
  add({ completionTokens: tokens, tokensPerSecond: average }) {
    if (!average) return;
    const ms = (tokens / average) * 1000;
    this.#readings.push([tokens, ms]); // the first token took no decode step, so measuring starts there
    const [[first, since]] = this.#readings;
    while (this.#readings.length > 2 && ms - this.#readings[1][1] >= WINDOW_MS) this.#readings.shift();
    if (ms - since < FIRST_MS || tokens === first) return;
    this.#runTokens = tokens;
    this.#point(tokens, ((tokens - first) / (ms - since)) * 1000, null);
    this.#soon();
  }

  /** Ends the run. @param {Pick<import('../lib/index.js').RunResult, 'usage' | 'timings'>} result */
  end({ usage, timings }) {
    const computed = usage.promptTokens - usage.cachedTokens;
    const prefill = computed > 0 ? timings.prefillTokensPerSecond : undefined;
    this.#last = { decode: timings.decodeTokensPerSecond, prefill };
    // An answer too short for a reading gets its mean.
    if (!this.#runTokens && usage.completionTokens) this.#point(usage.completionTokens, timings.decodeTokensPerSecond, null);
    this.#runTokens = usage.completionTokens;
    if (prefill) this.#insertPrefill(prefill);
    this.#draw();
  }

  /**
   * @param {number} tokens of this run
   * @param {number | null} decode
   * @param {number | null} prefill
   */
  #point(tokens, decode, prefill) {
    const [xs, decodes, prefills] = this.#data;
    xs.push(this.#before + tokens);
    decodes.push(decode);
    prefills.push(prefill);
    for (const column of this.#data) column.splice(0, column.length - POINTS_MAX);
  }

  /**
   * Inserts the prefill at the start of the run, before points that were drawn since.
   * @param {number} prefill
   */
  #insertPrefill(prefill) {
    const [xs, decodes, prefills] = this.#data;
    const place = xs.findIndex((x) => x > this.#before);
    const at = place < 0 ? xs.length : place;
    xs.splice(at, 0, this.#before);
    decodes.splice(at, 0, null);
    prefills.splice(at, 0, prefill);
  }

  #soon() {
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    this.#timer ||= setTimeout(() => this.#draw(), calm ? DRAW_CALM_MS : DRAW_MS);
  }

  async #draw() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#describe();
    if (this.#data[0].length === 0) return;
    const Plot = await fetchLibrary().catch(() => undefined);
    this.#node.hidden = !Plot;
    if (!Plot) return;
    if (this.#chart) this.#chart.setData(this.#data);
    else this.#chart = new Plot(this.#options(), this.#data, this.#plot);
  }

  /** The canvas does not follow CSS, so a change of colours or language redraws it. */
  #restyle() {
    if (!this.#chart) return;
    this.#chart.destroy();
    this.#chart = undefined;
    this.#draw();
  }

  #size() {
    return { width: Math.max(this.#plot.clientWidth, 160), height: HEIGHT };
  }

  /** @returns {uPlot.Options} */
  #options() {
    const style = getComputedStyle(document.documentElement);
    const [ember, soft, line, second] = ['--ember', '--soft', '--line', '--second'].map((name) => style.getPropertyValue(name).trim());
    const font = `11px ${style.getPropertyValue('--sans')}`;
    const values = (/** @type {uPlot} */ _, /** @type {number[]} */ ticks) => ticks.map((tick) => number(tick, 1));
    const axis = { font, ticks: { show: false }, grid: { stroke: line, width: 1 }, gap: 4, values };
    /** @type {uPlot.Range.Function} */
    const fromZero = (_, __, max) => [0, (max || 1) * 1.15];
    return {
      ...this.#size(),
      padding: [8, 0, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: (_, min, max) => [min, Math.max(max, min + 10)] }, decode: { range: fromZero }, prefill: { range: fromZero } },
      axes: [
        { ...axis, stroke: soft, grid: { show: false }, size: 20, space: 60, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] },
        { ...axis, stroke: ember, scale: 'decode', size: 42, space: 26 },
        { ...axis, stroke: second, scale: 'prefill', side: 1, size: 48, space: 26, grid: { show: false } },
      ],
      series: [
        {},
        { scale: 'decode', stroke: ember, width: 1.75, spanGaps: true, points: { show: (_, __, from, to) => to - from < 40, size: 4, fill: ember } },
        { scale: 'prefill', stroke: second, paths: () => null, points: { show: true, size: 6, fill: second } },
      ],
    };
  }

  #describe() {
    const { decode, prefill } = this.#last;
    const drawn = this.#data[1].filter((value) => value !== null);
    this.#caption.replaceChildren(
      make('span', { className: 'key decode' }, t('chart.decode')),
      make('span', { className: 'key prefill' }, t('chart.prefill')),
      make('span', { className: 'unit' }, t('chart.unit')),
    );
    const parts = [t('chart.label')];
    if (drawn.length) parts.push(t('chart.range', { least: number(Math.min(...drawn)), most: number(Math.max(...drawn)) }));
    if (decode) parts.push(t('chart.last', { decode: number(decode) }));
    if (prefill) parts.push(t('chart.lastPrefill', { prefill: number(prefill) }));
    this.#plot.setAttribute('aria-label', parts.join(' '));
  }
}
