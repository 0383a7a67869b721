// The sampling controls of one view. They start with the model's defaults, and only changed values are
// sent.

import { make } from './dom.js';
import { number, t, translated } from './i18n.js';

/** @typedef {import('../lib/index.js').GenerateOptions} GenerateOptions */

/** @type {[name: string, step: string, min: string, max: string | undefined][]} */
const FIELDS = [
  ['temperature', '0.05', '0', '2'],
  ['topP', '0.05', '0', '1'],
  ['topK', '1', '0', undefined],
  ['minP', '0.01', '0', '1'],
  ['repetitionPenalty', '0.05', '1', '2'],
  ['maxTokens', '1', '1', undefined],
  ['seed', '1', '0', undefined],
];

export class Controls {
  #details;
  /** @type {Map<string, HTMLInputElement>} */
  #inputs = new Map();
  /** @type {Record<string, number | undefined>} */
  #defaults = {};
  #count = make('span', { className: 'count' });

  /** @param {HTMLElement} details a <details> */
  constructor(details) {
    this.#details = /** @type {HTMLDetailsElement} */ (details);
    const title = make('span');
    const reset = make('button', { type: 'button', className: 'quiet small' });
    const grid = make('div', { className: 'grid' });
    for (const [name, step, min, max] of FIELDS) grid.append(this.#field(name, { step, min, max }));
    reset.addEventListener('click', () => this.#fill());
    details.replaceChildren(make('summary', {}, title, this.#count), grid, reset);
    details.addEventListener('input', () => this.#changed());
    translated(() => {
      title.textContent = t('controls.title');
      reset.textContent = t('controls.reset');
      this.#changed();
    });
  }

  /** Shows the model's default settings. @param {object} defaults */
  adopt(defaults) {
    const kept = Object.keys(this.values());
    this.#defaults = { .../** @type {Record<string, number>} */ (defaults) };
    this.#fill(kept);
    this.#details.hidden = false;
  }

  /**
   * The values that differ from the model's defaults. They are not checked here, because the engine's error
   * is better.
   * @returns {GenerateOptions}
   */
  values() {
    /** @type {Record<string, number>} */
    const values = {};
    for (const [name, input] of this.#inputs) {
      const value = input.valueAsNumber;
      if (!Number.isNaN(value) && value !== this.#defaults[name]) values[name] = value;
    }
    return values;
  }

  /** Points at the control that caused an error, if there is one. @param {unknown} error */
  blame(error) {
    const option = /** @type {any} */ (error)?.details?.option;
    const input = this.#inputs.get(option);
    if (!input) return;
    this.#details.open = true;
    input.setAttribute('aria-invalid', 'true');
    input.focus();
  }

  /**
   * @param {string} name
   * @param {{ step: string, min: string, max?: string }} range
   */
  #field(name, { step, min, max }) {
    const id = `${this.#details.id}-${name}`;
    const input = make('input', {
      id,
      type: 'number',
      step,
      min,
      max: max ?? '',
      inputMode: 'decimal',
      autocomplete: 'off',
      'aria-describedby': `${id}-hint`,
    });
    const label = make('label', { htmlFor: id });
    const hint = make('p', { className: 'hint', id: `${id}-hint` });
    this.#inputs.set(name, input);
    translated(() => {
      label.textContent = t(`controls.${name}`);
      hint.textContent = t(`controls.${name}Hint`);
      if (name === 'seed') input.placeholder = t('controls.seedAny');
    });
    return make('div', { className: 'control' }, label, input, hint);
  }

  /** @param {string[]} [kept] what the visitor set by hand */
  #fill(kept = []) {
    for (const [name, input] of this.#inputs) {
      const value = this.#defaults[name];
      if (!kept.includes(name)) input.value = String(value ?? '');
    }
    this.#changed();
  }

  #changed() {
    for (const input of this.#inputs.values()) input.removeAttribute('aria-invalid');
    const count = Object.keys(this.values()).length;
    this.#count.textContent = count ? t('controls.changed', { count: number(count) }) : '';
  }
}
