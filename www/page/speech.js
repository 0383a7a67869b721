// What a screen reader announces while text streams: whole sentences, politely, at most every two seconds.

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

/** Announces the rest of the text, then `closing`. @param {string} [closing] */
export function finishSpeech(closing) {
  clearTimeout(timer);
  timer = 0;
  say(pending);
  pending = '';
  if (closing) announce(closing);
}

/** Announces a short notice about the page. @param {string} text */
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
