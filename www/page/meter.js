// The context meter: how much of the model's window the text takes, and how much the typed text would add.

import { make } from './dom.js';
import { number, t, translated } from './i18n.js';

/** Measuring needs the engine, so it waits for a pause in typing. */
const PAUSE_MS = 200;
/** From this share of the window, the meter warns that it is nearly full. */
const NEAR = 0.8;

/** @typedef {'chat' | 'story'} View */

export class Meter {
  #view;
  #measure;
  #used = 0;
  #window = 0;
  #coming = 0;
  #timer = 0;
  /** Numbers the measurements, so that a late result is ignored. */
  #asked = 0;
  #held = make('span', { className: 'held' });
  #adds = make('span', { className: 'adds' });
  #words = make('span', { className: 'words' });
  #amount = make('span', { className: 'amount' });
  #node;

  /**
   * @param {HTMLElement} node its place in index.html
   * @param {View} view
   * @param {() => Promise<number>} measure how many tokens the typed text would add
   */
  constructor(node, view, measure) {
    this.#node = node;
    this.#view = view;
    this.#measure = measure;
    const track = make('span', { className: 'track', 'aria-hidden': 'true' }, this.#held, this.#adds);
    node.setAttribute('role', 'meter');
    node.setAttribute('aria-valuemin', '0');
    node.replaceChildren(track, make('span', { className: 'meter-text', 'aria-hidden': 'true' }, this.#words, this.#amount));
    translated(() => this.#render());
  }

  /** Shows what the session holds. @param {{ contextUsage: number, contextWindow: number }} stats */
  show({ contextUsage, contextWindow }) {
    this.#used = contextUsage;
    this.#window = contextWindow;
    this.#render();
  }

  /** Call after each change of the typed text. Measures it when typing pauses. */
  typed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), PAUSE_MS);
  }

  /** Call when the typed text was sent. */
  sent() {
    clearTimeout(this.#timer);
    this.#asked += 1;
    this.#coming = 0;
    this.#render();
  }

  /** Call when the session is empty too. */
  clear() {
    this.#used = 0;
    this.sent();
  }

  async #ask() {
    const asked = (this.#asked += 1);
    const tokens = await this.#measure().catch(() => 0); // without a model there is nothing to measure
    if (asked !== this.#asked) return;
    this.#coming = tokens;
    this.#render();
  }

  #render() {
    const [used, coming, window] = [this.#used, this.#coming, this.#window];
    this.#node.hidden = !window || used + coming === 0;
    if (this.#node.hidden) return;
    const level = used + coming > window ? 'over' : used + coming >= NEAR * window ? 'near' : 'room';
    const share = (/** @type {number} */ tokens) => `${Math.min(tokens / window, 1) * 100}%`;
    this.#node.dataset.level = level;
    this.#held.style.width = share(used);
    this.#adds.style.width = share(Math.min(coming, Math.max(window - used, 0)));
    const amounts = { used: number(used), window: number(window), coming: number(coming) };
    const amount = t(coming ? 'meter.adds' : 'meter.amount', amounts);
    const words = level === 'room' ? t('meter.room') : t(`meter.${level}.${this.#view}`);
    this.#amount.textContent = amount;
    this.#words.textContent = words;
    this.#node.setAttribute('aria-label', t('meter.label'));
    this.#node.setAttribute('aria-valuemax', String(window));
    this.#node.setAttribute('aria-valuenow', String(Math.min(used, window)));
    this.#node.setAttribute('aria-valuetext', level === 'room' ? amount : `${amount}. ${words}`);
  }
}
