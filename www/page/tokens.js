// Text as tokens: each token is an element, shaded by its probability. token-card.js shows the rest.
//
// The page always shows the text of the pieces; the tokens only divide it. Tokens that share a character
// (an emoji may take four) become one element. Tokens without text (the end of the text) get none. Text
// without known tokens stays plain.

import { make } from './dom.js';

/** @typedef {import('../lib/index.js').TokenLogprob} TokenLogprob */

/**
 * The content of one element. Plain data, because it is stored with a chat.
 * @typedef {object} Group
 * @property {string} text
 * @property {number} logprob of its tokens together
 * @property {number} count of its tokens
 * @property {number} drawn index in `top` of the token that was drawn, or -1
 * @property {[text: string, logprob: number][]} top the likeliest tokens in place of its first token
 */

/**
 * How many alternatives to request with each token. They are always requested (45 µs per token of the
 * bundled models), so that tokens can also be shown afterwards.
 */
export const ALTERNATIVES = 5;

/** The lowest probability of each shade except the last, from the palest. */
const SHADES = [0.9, 0.6, 0.3, 0.1, 0.02];

/** The group of each element. @type {WeakMap<Element, Group>} */
const groups = new WeakMap();

/** @param {Element} node @returns {Group | undefined} */
export function groupOf(node) {
  return groups.get(node);
}

export class TokenText {
  #node;
  /** @type {(Group | string)[]} */
  #parts = [];
  /** Text that is not yet divided into tokens. */
  #text = '';
  /** Tokens of an incomplete character. @type {TokenLogprob[]} */
  #open = [];
  #trim;

  /**
   * @param {HTMLElement} node where the text goes
   * @param {{ trim?: boolean }} [settings] whether to remove leading space
   */
  constructor(node, { trim = false } = {}) {
    this.#node = node;
    this.#trim = trim;
    node.classList.add('tokens');
    node.replaceChildren();
  }

  /** The content, to be stored and restored. */
  get parts() {
    return this.#parts;
  }

  get empty() {
    return this.#parts.length === 0;
  }

  /**
   * @param {string} text
   * @param {TokenLogprob[]} [tokens]
   */
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

  /** Call after the last text. Shows text without tokens as plain text. */
  end() {
    const fragment = document.createDocumentFragment();
    if (this.#text) this.#put(this.#text, fragment);
    this.#text = '';
    this.#open = [];
    this.#node.append(fragment);
  }

  /** Shows stored content. @param {(Group | string)[]} parts */
  restore(parts) {
    const fragment = document.createDocumentFragment();
    for (const part of parts) this.#put(part, fragment);
    this.#node.append(fragment);
  }

  /**
   * Closes the group of open tokens, whose text is `spelled`.
   * @param {string} spelled
   * @param {DocumentFragment} fragment
   */
  #close(spelled, fragment) {
    const tokens = this.#open;
    this.#open = [];
    // The space that a tokenizer puts before the first word is not part of the text.
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

  /**
   * @param {Group | string} part
   * @param {DocumentFragment} fragment
   */
  #put(part, fragment) {
    let text = typeof part === 'string' ? part : part.text;
    if (this.#trim) text = text.trimStart();
    if (!text) return;
    this.#trim = false;
    const shown = typeof part === 'string' ? text : { ...part, text };
    this.#parts.push(shown);
    if (typeof shown === 'string') return fragment.append(shown);
    // The space before a word is not shaded, because at a line end it would hang over the edge.
    const space = /^\s+(?=\S)/.exec(text)?.[0] ?? '';
    const span = make('span', { className: 'token' }, ...(space ? [space] : []), make('span', { className: 'ink' }, text.slice(space.length)));
    span.dataset.shade = String(SHADES.filter((least) => Math.exp(shown.logprob) < least).length);
    groups.set(span, shown);
    fragment.append(span);
  }
}

/**
 * @param {number[]} bytes
 * @returns {string | undefined} undefined if they end within a character
 */
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
