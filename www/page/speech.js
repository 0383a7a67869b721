// What a screen reader hears while text streams: whole sentences, politely, at most every two seconds.

import { byId, make } from './dom.js';

const PAUSE_MS = 2000;
const SENTENCES = /^[\s\S]*[.!?。！？…]["'”’」』)]*(?=\s|$|[^\x00-\x7f])/;

let pending = '';
let timer = 0;

/** @param {string} text */
export function speak(text) {
  pending += text;
  timer ||= setTimeout(flush, PAUSE_MS);
}

/** Says the rest, and then this. @param {string} [closing] */
export function finishSpeech(closing) {
  clearTimeout(timer);
  timer = 0;
  say(pending);
  pending = '';
  if (closing) announce(closing);
}

/** A short notice of what the page does. @param {string} text */
export function announce(text) {
  byId('status').textContent = text;
}

export function clearSpeech() {
  clearTimeout(timer);
  timer = 0;
  pending = '';
  byId('spoken').replaceChildren();
}

function flush() {
  timer = 0;
  const whole = SENTENCES.exec(pending)?.[0] ?? '';
  say(whole);
  pending = pending.slice(whole.length);
  if (pending) timer = setTimeout(flush, PAUSE_MS);
}

/** @param {string} text */
function say(text) {
  if (text.trim()) byId('spoken').append(make('p', {}, text));
}
