// The context meter: how much of the model's window the text takes, and how much what is being typed would add.

import { make } from './dom.js';
import { number, t, translated } from './i18n.js';

/** Measuring asks the engine: not at every key. */
const PAUSE_MS = 200;
/** Shares of the window from which it is said that room runs out. */
const NEAR = 0.8;

/** @typedef {'chat' | 'story'} View */

export class Meter {
  #view;
  #measure;
  #used = 0;
  #window = 0;
  #coming = 0;
  #timer = 0;
  /** Counts what was asked, so that an answer that comes late is not shown. */
  #asked = 0;
  #held = make('span', { className: 'held' });
  #adds = make('span', { className: 'adds' });
  #words = make('span', { className: 'words' });
  #amount = make('span', { className: 'amount' });
  #node;

  /**
   * @param {HTMLElement} node index.html's place for it
   * @param {View} view
   * @param {() => Promise<number>} measure tokens that what is typed would add
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

  /** What the session holds. @param {{ contextUsage: number, contextWindow: number }} stats */
  show({ contextUsage, contextWindow }) {
    this.#used = contextUsage;
    this.#window = contextWindow;
    this.#render();
  }

  /** What is typed has changed: measures it when the typing pauses. */
  typed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), PAUSE_MS);
  }

  /** Nothing is typed any more: it was sent. */
  sent() {
    clearTimeout(this.#timer);
    this.#asked += 1;
    this.#coming = 0;
    this.#render();
  }

  /** Nothing is held either. */
  clear() {
    this.#used = 0;
    this.sent();
  }

  async #ask() {
    const asked = (this.#asked += 1);
    const tokens = await this.#measure().catch(() => 0); // no model yet, or one that has gone: the meter is not who says so
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
