// The card about one token: how likely it was, and the alternatives. It opens by mouse, by touch, or with
// the arrow keys. All tokens of a text are one stop of the Tab key, because nobody tabs through five
// hundred.

import { byId, make, recall, remember } from './dom.js';
import { number, t, translated } from './i18n.js';
import { announce } from './speech.js';
import { groupOf } from './tokens.js';

/** @typedef {import('./tokens.js').Group} Group */

const card = byId('token-card');
/** The token that the card is about. @type {HTMLElement | undefined} */
let about;

export function startTokens() {
  const buttons = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('.show-tokens')]);
  const turn = (/** @type {boolean} */ on) => {
    document.documentElement.toggleAttribute('data-tokens', on);
    for (const button of buttons) button.setAttribute('aria-pressed', String(on));
    close();
    tabStops();
  };
  for (const button of buttons) {
    button.addEventListener('click', () => {
      turn(!shown());
      remember('tokens', shown() ? 'shown' : '');
      announce(t(shown() ? 'tokens.on' : 'tokens.off'));
    });
  }
  turn(recall('tokens') === 'shown');

  const main = byId('main');
  main.addEventListener('pointerover', (event) => {
    if (event.pointerType === 'mouse') open(tokenAt(event.target));
  });
  main.addEventListener('pointerout', (event) => {
    if (event.pointerType === 'mouse') open(tokenAt(document.activeElement)); // back to the focused token, if there is one
  });
  main.addEventListener('focusin', (event) => open(tokenAt(event.target)));
  main.addEventListener('focusout', close);
  // Touch has no hover: a tap opens the card, and a tap anywhere else closes it.
  addEventListener('click', (event) => {
    const token = tokenAt(event.target);
    open(token);
    token?.focus({ preventScroll: true });
  });
  const onScroll = () => {
    open(tokenAt(document.activeElement));
    if (about) place(about);
  };
  addEventListener('scroll', onScroll, { passive: true });
  addEventListener('resize', close);
  addEventListener('keydown', onKey, { capture: true });
  translated(close);
}

/** Makes each text reachable with Tab while tokens are shown, through one of its tokens. */
export function tabStops() {
  for (const text of document.querySelectorAll('.tokens')) {
    const stop = text.querySelector('.token[tabindex="0"]') ?? text.querySelector('.token');
    if (stop) setStop(stop, shown());
  }
}

function shown() {
  return document.documentElement.hasAttribute('data-tokens');
}

/**
 * @param {Element} token
 * @param {boolean} on
 */
function setStop(token, on) {
  if (on) {
    token.setAttribute('tabindex', '0');
    token.setAttribute('role', 'button');
    token.setAttribute('aria-describedby', card.id);
  } else {
    for (const name of ['tabindex', 'role', 'aria-describedby']) token.removeAttribute(name);
  }
}

/** @param {EventTarget | null} target */
function tokenAt(target) {
  const token = shown() && target instanceof Element ? target.closest('.token') : null;
  return token instanceof HTMLElement ? token : undefined;
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  const token = tokenAt(event.target);
  if (event.key === 'Escape' && !card.hidden) {
    close();
    event.stopPropagation(); // so that Escape does not stop the answer
    return;
  }
  if (!token) return;
  const all = /** @type {HTMLElement[]} */ ([...(token.closest('.tokens')?.querySelectorAll('.token') ?? [])]);
  const place = all.indexOf(token);
  const next = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: all.length - 1 }[event.key];
  if (next === undefined || !all[next]) return;
  event.preventDefault();
  open(all[next]); // so that it can get the focus
  all[next].focus();
}

/** @param {HTMLElement | undefined} token */
function open(token) {
  if (!token) return close();
  const group = groupOf(token);
  if (!group || token === about) return;
  close();
  about = token;
  for (const other of token.closest('.tokens')?.querySelectorAll('.token[tabindex]') ?? []) if (other !== token) setStop(other, false);
  setStop(token, true);
  token.classList.add('about');
  card.replaceChildren(...content(group));
  card.hidden = false;
  place(token);
}

function close() {
  about?.classList.remove('about');
  about = undefined;
  card.hidden = true;
}

/**
 * Places the card below the token, or above it if there is no room, and never over the window's edge.
 * @param {HTMLElement} token
 */
function place(token) {
  const EDGE = 8;
  const [line] = token.lastElementChild?.getClientRects() ?? [];
  if (!line) return;
  const { width, height } = card.getBoundingClientRect();
  const { clientWidth, clientHeight } = document.documentElement;
  const left = Math.min(Math.max(line.left + line.width / 2 - width / 2, EDGE), clientWidth - width - EDGE);
  const below = line.bottom + EDGE;
  const top = below + height + EDGE > clientHeight && line.top - height - EDGE > 0 ? line.top - height - EDGE : below;
  card.style.left = `${left}px`;
  card.style.top = `${top}px`;
}

/** @param {Group} group */
function content({ text, logprob, count, drawn, top }) {
  const head = make(
    'p',
    { className: 'token-head' },
    make('strong', {}, visible(text)),
    make('span', {}, t('tokens.probability', { value: percent(logprob) })),
  );
  const notes = [];
  if (count > 1) notes.push(make('p', { className: 'hint' }, t('tokens.several', { count: number(count) })));
  if (top.length === 0) return [head, ...notes];
  /** @type {[string, number][]} */
  const rows = drawn < 0 && count === 1 ? [...top, [text, logprob]] : top;
  const marked = drawn < 0 && count === 1 ? top.length : drawn;
  const list = make(
    'ol',
    { className: 'likely' },
    ...rows.map(([other, likelihood], index) => {
      const bar = make('span', { className: 'bar', 'aria-hidden': 'true' });
      bar.style.setProperty('--share', String(Math.exp(likelihood)));
      const name = make('span', { className: 'name' }, visible(other));
      return make('li', { className: index === marked ? 'drawn' : '' }, name, bar, make('span', { className: 'share' }, percent(likelihood)));
    }),
  );
  return [head, ...notes, make('p', { className: 'hint' }, t('tokens.instead')), list];
}

/** Makes white space visible. @param {string} text */
function visible(text) {
  return text.replace(/ /g, '␣').replace(/\n/g, '⏎').replace(/\t/g, '⇥') || '∅';
}

/** @param {number} logprob */
function percent(logprob) {
  const value = Math.exp(logprob);
  const options = { style: /** @type {const} */ ('percent'), maximumFractionDigits: value < 0.1 ? 1 : 0 };
  if (value < 0.001) return `< ${new Intl.NumberFormat(document.documentElement.lang, options).format(0.001)}`;
  return new Intl.NumberFormat(document.documentElement.lang, options).format(value);
}
