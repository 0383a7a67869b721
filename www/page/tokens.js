// Text as its tokens: each is an element of its own, shaded by how likely the model found it; token-card.js tells the rest.
//
// The text of a piece is what is shown, always; its tokens are laid over it. Tokens that share a character (an emoji may take four) become one element, and tokens
// that show nothing (the end of the text) none. Text whose tokens are not known stays plain.

import { make } from './dom.js';

/** @typedef {import('../lib/index.js').TokenLogprob} TokenLogprob */

/**
 * One element's worth of text. Plain data: it is kept with a chat.
 * @typedef {object} Group
 * @property {string} text
 * @property {number} logprob of its tokens together
 * @property {number} count of its tokens
 * @property {number} drawn place among `top` of what was drawn, or -1
 * @property {[text: string, logprob: number][]} top what was likeliest in place of its first token
 */

/** So many of the likeliest tokens are asked for with each token, always: 45 µs a token of the bundled models, and what is told already can be looked at. */
export const ALTERNATIVES = 5;

/** The lowest probability of each shade but the last, from the palest. */
const SHADES = [0.9, 0.6, 0.3, 0.1, 0.02];

/** What each element stands for. @type {WeakMap<Element, Group>} */
const groups = new WeakMap();

/** @param {Element} node @returns {Group | undefined} */
export function groupOf(node) {
  return groups.get(node);
}

export class TokenText {
  #node;
  /** @type {(Group | string)[]} */
  #parts = [];
  /** Text not yet laid under tokens. */
  #text = '';
  /** Tokens of a character that is not whole yet. @type {TokenLogprob[]} */
  #open = [];
  #trim;

  /** @param {HTMLElement} node what the text goes into @param {{ trim?: boolean }} [settings] whether leading space is left out */
  constructor(node, { trim = false } = {}) {
    this.#node = node;
    this.#trim = trim;
    node.classList.add('tokens');
    node.replaceChildren();
  }

  /** What is shown, to be kept and shown again. */
  get parts() {
    return this.#parts;
  }

  get empty() {
    return this.#parts.length === 0;
  }

  /** @param {string} text @param {TokenLogprob[]} [tokens] */
  push(text, tokens) {
    this.#text += text;
    if (!tokens) return this.end();
    const fragment = document.createDocumentFragment();
    for (const token of tokens) {
      this.#open.push(token);
      const spelled = whole(this.#open.flatMap(({ bytes }) => bytes));
      if (spelled === undefined && this.#open.length < 8) continue;
      this.#close(spelled ?? '', fragment);
    }
    this.#node.append(fragment);
  }

  /** No more text comes: what has no token is shown as it is. */
  end() {
    const fragment = document.createDocumentFragment();
    if (this.#text) this.#put(this.#text, fragment);
    this.#text = '';
    this.#open = [];
    this.#node.append(fragment);
  }

  /** Shows what was kept. @param {(Group | string)[]} parts */
  restore(parts) {
    const fragment = document.createDocumentFragment();
    for (const part of parts) this.#put(part, fragment);
    this.#node.append(fragment);
  }

  /** Ends the group of the open tokens, which spell this. @param {string} spelled @param {DocumentFragment} fragment */
  #close(spelled, fragment) {
    const tokens = this.#open;
    this.#open = [];
    // A tokenizer's space before the first word is no part of the text.
    const text = this.#text.startsWith(spelled) ? spelled : spelled.trimStart();
    if (!text || !this.#text.startsWith(text)) return;
    this.#text = this.#text.slice(text.length);
    const [{ id, top }] = tokens;
    this.#put(
      {
        text,
        logprob: tokens.reduce((sum, { logprob }) => sum + logprob, 0),
        count: tokens.length,
        drawn: top.findIndex((other) => other.id === id),
        top: top.map(({ text, bytes, logprob }) => [whole(bytes) ?? hex(bytes) ?? text, logprob]),
      },
      fragment,
    );
  }

  /** @param {Group | string} part @param {DocumentFragment} fragment */
  #put(part, fragment) {
    let text = typeof part === 'string' ? part : part.text;
    if (this.#trim) text = text.trimStart();
    if (!text) return;
    this.#trim = false;
    const shown = typeof part === 'string' ? text : { ...part, text };
    this.#parts.push(shown);
    if (typeof shown === 'string') return fragment.append(shown);
    // The space before a word is left unshaded: at the end of a line it hangs over the edge.
    const space = /^\s+(?=\S)/.exec(text)?.[0] ?? '';
    const span = make('span', { className: 'token' }, ...(space ? [space] : []), make('span', { className: 'ink' }, text.slice(space.length)));
    span.dataset.shade = String(SHADES.filter((least) => Math.exp(shown.logprob) < least).length);
    groups.set(span, shown);
    fragment.append(span);
  }
}

/** @param {number[]} bytes @returns {string | undefined} undefined where they end within a character */
function whole(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
  } catch {
    return undefined;
  }
}

/** @param {number[]} bytes */
function hex(bytes) {
  return bytes.length ? bytes.map((byte) => byte.toString(16).toUpperCase().padStart(2, '0')).join(' ') : undefined;
}
