// The turns of a transcript: a question, which can be edited in place, and an answer, which can be
// regenerated or branched from.

import { grow, make, meansSend } from './dom.js';
import { number, t } from './i18n.js';
import { TokenText } from './tokens.js';

/** @typedef {import('./conversations.js').Turn} Turn */

/**
 * @param {string} symbol of index.html
 * @param {string} key of its text
 * @param {() => void} act
 */
function tool(symbol, key, act) {
  const button = make('button', { type: 'button', className: 'quiet small tool' }, icon(symbol), make('span', { 'data-i18n': key }, t(key)));
  button.addEventListener('click', act);
  return button;
}

/** @param {string} symbol */
export function icon(symbol) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#${symbol}`);
  svg.setAttribute('aria-hidden', 'true');
  svg.append(use);
  return svg;
}

/** @param {string} key */
function speaker(key) {
  return make('p', { className: 'speaker', 'data-i18n': key }, t(key));
}

export class Question {
  #says = make('p', { className: 'says' });
  #edit;
  #onSave;
  #tools = make('div', { className: 'turn-tools' });
  element = make('li', { className: 'turn you' });

  /**
   * @param {string} text
   * @param {(text: string) => void} onSave called with the edited text
   */
  constructor(text, onSave) {
    this.#onSave = onSave;
    this.#says.textContent = text;
    this.#edit = tool('i-edit', 'chat.edit', () => this.edit(text));
    this.#tools.append(this.#edit);
    this.element.append(speaker('chat.you'), this.#says, this.#tools);
  }

  focus() {
    this.#edit.focus({ preventScroll: true });
  }

  /** Opens the editor with this text. @param {string} text */
  edit(text) {
    const area = make('textarea', { rows: 1, 'aria-label': t('chat.editLabel'), 'data-i18n-label': 'chat.editLabel' });
    const save = make('button', { type: 'submit', className: 'primary small', 'data-i18n': 'chat.save' }, t('chat.save'));
    const cancel = make('button', { type: 'button', className: 'quiet small', 'data-i18n': 'cancel' }, t('cancel'));
    const hint = make('p', { className: 'hint', 'data-i18n': 'chat.editHint' }, t('chat.editHint'));
    const form = make('form', { className: 'editor' }, area, make('div', { className: 'row' }, save, cancel, hint));
    area.value = text;
    const close = () => {
      form.replaceWith(this.#says);
      this.#tools.hidden = false;
      this.focus();
    };
    const submit = () => {
      const edited = area.value.trim();
      if (!edited) return;
      close();
      this.#onSave(edited);
    };
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      submit();
    });
    form.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        event.stopPropagation();
        close();
      } else if (event.target === area && meansSend(event)) {
        event.preventDefault();
        submit();
      }
    });
    cancel.addEventListener('click', close);
    this.#says.replaceWith(form);
    this.#tools.hidden = true;
    grow(area)();
    area.focus();
    area.setSelectionRange(text.length, text.length);
  }
}

export class Answer {
  #says = make('p', { className: 'says' });
  #note = make('p', { className: 'meta' });
  #again;
  text = new TokenText(this.#says, { trim: true });
  element = make('li', { className: 'turn model' });

  /**
   * @param {string} lang of the text
   * @param {{ onAgain: () => void, onBranch: () => void }} acts
   */
  constructor(lang, { onAgain, onBranch }) {
    this.#says.lang = lang;
    this.#again = tool('i-again', 'chat.again', onAgain);
    this.#again.classList.add('again'); // shown on the last answer only
    const tools = make('div', { className: 'turn-tools' }, this.#again, tool('i-branch', 'chat.branch', onBranch));
    this.element.append(speaker('chat.model'), this.#says, make('div', { className: 'turn-foot' }, this.#note, tools));
  }

  focus() {
    this.#again.focus({ preventScroll: true });
  }

  /** @param {boolean} running */
  set running(running) {
    this.element.toggleAttribute('data-running', running);
  }

  /** Shows the figures below the answer. @param {NonNullable<Turn['result']>} result */
  describe({ finishReason, usage, timings }) {
    const { completionTokens, cachedTokens, promptTokens } = usage;
    const parts = [t('chat.meta', { tokens: number(completionTokens), speed: number(timings.decodeTokensPerSecond) })];
    if (cachedTokens) parts.push(t('chat.reused', { cached: number(cachedTokens), prompt: number(promptTokens) }));
    if (finishReason === 'length') parts.push(t('chat.cut'));
    this.#note.textContent = parts.join(' · ');
  }

  /** Shows why the answer is not part of the conversation. @param {string} key */
  fail(key) {
    this.#note.dataset.i18n = key;
    this.#note.textContent = t(key);
  }
}

/**
 * A line between turns that comes from the page, not from the model.
 * @param {string} key
 * @param {string} [kind] a class
 * @param {Record<string, string>} [values] for placeholders; the line then does not change with the
 *   language
 */
export function notice(key, kind = '', values) {
  return make('li', { className: `notice ${kind}` }, make('span', values ? {} : { 'data-i18n': key }, t(key, values)));
}
