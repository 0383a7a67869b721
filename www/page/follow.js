// The page follows an answer as it grows, as long as its reader has not gone up to read something else.

import { byId } from './dom.js';

/** Of the window's height: the rest is for reading. */
const FIGURES_SHARE = 0.35;
/** Within so many pixels of the end one is reading there. */
const NEAR = 120;

/** How far the page is above where an answer is read: its end over the composer, and below that a third of the window, at most, for the figures. */
function toEnd() {
  const { top } = byId('chat-measures').getBoundingClientRect();
  const below = document.documentElement.scrollHeight - scrollY - top;
  return top + Math.min(below, innerHeight * FIGURES_SHARE) - innerHeight;
}

export function atEnd() {
  return toEnd() < NEAR;
}

/** @param {boolean} [always] also where the reader is elsewhere */
export function follow(always = false) {
  if (byId('view-chat').hidden) return;
  const distance = toEnd();
  if (distance > 0 && (always || distance < NEAR)) scrollBy({ top: distance });
}
