// Handles a chat or a story that was written with a model other than the one in use. If the browser can
// load that model without a download, it does. Otherwise it asks the visitor. Until then no model answers.

import { cache } from '../lib/index.js';
import { showError, wasStopped } from './banner.js';
import { make } from './dom.js';
import { t, translated } from './i18n.js';
import { choiceOf, chooseAgain, isWeights } from './picker.js';
import { announce } from './speech.js';

/** @import { Choice, Seat } from './seat.js' */

export class ModelReturn {
  #box;
  #seat;
  #onGoOn;
  /** Numbers the calls of want(), so that a late reply for another chat is ignored. */
  #turn = 0;
  /** The model that is missing. @type {{ key: string, name: string, choice?: Choice } | undefined} */
  #missing;

  /**
   * @param {HTMLElement} box where the question is shown
   * @param {Seat} seat
   * @param {() => void} onGoOn called to continue with the model in use
   */
  constructor(box, seat, onGoOn) {
    this.#box = box;
    this.#seat = seat;
    this.#onGoOn = onGoOn;
    translated(() => this.#render());
    seat.addEventListener('change', () => this.#render());
  }

  /** Whether the visitor still has to choose which model continues. */
  get isAsking() {
    return this.#missing !== undefined;
  }

  /** Whether the files of the missing model must be chosen again. */
  get needsFiles() {
    return this.#missing !== undefined && !this.#missing.choice;
  }

  /**
   * Loads the model with which something was written, or asks for it. Resolves as soon as it is clear which
   * of the two; the model may still be loading.
   * @param {string} key of the model; '' if nothing was written yet
   * @param {string} name
   */
  async want(key, name) {
    const { choice: used, coming } = this.#seat;
    if (!key || key === (coming ?? used).key) return this.settle();
    if (key === this.#missing?.key) return; // asked already, for example because its load was cancelled
    const turn = ++this.#turn;
    const choice = choiceOf(key);
    const isNear = choice && (await isAtHand(choice));
    if (turn !== this.#turn) return;
    if (isNear) this.#load(choice);
    else this.#ask(key, choice?.name() ?? name, choice);
  }

  /** Closes the question. */
  settle() {
    this.#turn++;
    this.#missing = undefined;
    this.#render();
  }

  /** Draws attention to the open question. */
  remind() {
    this.#box.scrollIntoView({ block: 'nearest' });
    this.#box.querySelector('button')?.focus();
    announce(this.#box.querySelector('p')?.textContent ?? '');
  }

  /**
   * @param {string} key
   * @param {string} name
   * @param {Choice} [choice]
   */
  #ask(key, name, choice) {
    this.#missing = { key, name, choice };
    this.#render();
  }

  /** @param {Choice} choice */
  #load(choice) {
    this.settle();
    this.#seat.use(choice).catch((error) => {
      if (!wasStopped(error)) showError(error);
      this.#ask(choice.key, choice.name(), choice);
    });
  }

  #render() {
    const missing = this.#missing;
    this.#box.hidden = !missing;
    if (!missing) return this.#box.replaceChildren();
    const { key, name, choice } = missing;
    const back = make('button', { type: 'button', className: 'primary small' }, t(choice ? 'return.load' : 'return.files', { name }));
    back.addEventListener('click', () => (choice ? this.#load(choice) : chooseAgain(key)));
    const goOn = make('button', { type: 'button', className: 'small' }, t('return.goOn', { name: this.#seat.choice.name() }));
    goOn.addEventListener('click', () => {
      this.settle();
      this.#onGoOn();
    });
    const question = t(choice ? 'return.notLoaded' : 'return.fromFiles', { name });
    this.#box.replaceChildren(make('p', {}, question), make('div', { className: 'row' }, back, goOn));
  }
}

/** Whether a model loads without a download. @param {Choice} choice */
async function isAtHand({ bundled, source }) {
  if (bundled || typeof source !== 'string') return true;
  const [kept] = await cache.list(source).catch(() => []);
  return kept?.complete === true && kept.files.some(({ file }) => isWeights(file));
}
