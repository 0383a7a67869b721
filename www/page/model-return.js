// A chat or a story that was written with another model than the one in use. Its model comes back where this browser can load it without a download; else the
// visitor is asked. Until then nothing answers in its place.

import { cache } from '../lib/index.js';
import { showError, wasStopped } from './banner.js';
import { make } from './dom.js';
import { t, translated } from './i18n.js';
import { choiceOf, chooseAgain } from './picker.js';
import { announce } from './speech.js';

/** @import { Choice, Seat } from './seat.js' */

export class ModelReturn {
  #box;
  #seat;
  #onGoOn;
  /** Counts what was wanted: the answer for a chat that is in front no more is dropped. */
  #turn = 0;
  /** The model that is missing. @type {{ key: string, name: string, choice?: Choice } | undefined} */
  #missing;

  /**
   * @param {HTMLElement} box where the question stands
   * @param {Seat} seat
   * @param {() => void} onGoOn the visitor wants the model in use to go on
   */
  constructor(box, seat, onGoOn) {
    this.#box = box;
    this.#seat = seat;
    this.#onGoOn = onGoOn;
    translated(() => this.#render());
    seat.addEventListener('change', () => this.#render());
  }

  /** Whether the visitor has still to say which model goes on. */
  get isAsking() {
    return this.#missing !== undefined;
  }

  /** Whether the files of the missing model must be chosen again. */
  get needsFiles() {
    return this.#missing !== undefined && !this.#missing.choice;
  }

  /**
   * Brings the model back by which something was written, or asks for it. Resolves as soon as it is clear which of the two: the model may still be loading.
   * @param {string} key of the model; '' where nothing was written yet
   * @param {string} name
   */
  async want(key, name) {
    const { choice: used, coming } = this.#seat;
    if (!key || key === (coming ?? used).key) return this.settle();
    if (key === this.#missing?.key) return; // asked already: its load was given up, say
    const turn = ++this.#turn;
    const choice = choiceOf(key);
    const isNear = choice && (await isAtHand(choice));
    if (turn !== this.#turn) return;
    if (isNear) this.#load(choice);
    else this.#ask(key, choice?.name() ?? name, choice);
  }

  /** The question is answered. */
  settle() {
    this.#turn++;
    this.#missing = undefined;
    this.#render();
  }

  /** Shows the question once more to who wants an answer without having answered it. */
  remind() {
    this.#box.scrollIntoView({ block: 'nearest' });
    this.#box.querySelector('button')?.focus();
    announce(this.#box.querySelector('p')?.textContent ?? '');
  }

  /** @param {string} key @param {string} name @param {Choice} [choice] */
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
  return kept?.complete === true && kept.files.some(({ file }) => file.endsWith('.safetensors'));
}
