// Scrolls the page along with a growing answer, unless the reader has scrolled up.

import { byId } from './dom.js';

/** The part of the window's height that the figures may take; the rest is for reading. */
const FIGURES_SHARE = 0.35;
/** Within this many pixels of the end, the reader counts as being at the end. */
const NEAR = 120;

/**
 * How far to scroll so that the end of the answer is above the composer, with at most a third of the window
 * below it for the figures.
 */
function toEnd() {
  const { top } = byId('chat-measures').getBoundingClientRect();
  const below = document.documentElement.scrollHeight - scrollY - top;
  return top + Math.min(below, innerHeight * FIGURES_SHARE) - innerHeight;
}

export function atEnd() {
  return toEnd() < NEAR;
}

/** @param {boolean} [always] also if the reader has scrolled up */
export function follow(always = false) {
  if (byId('view-chat').hidden) return;
  const distance = toEnd();
  if (distance > 0 && (always || distance < NEAR)) scrollBy({ top: distance });
}
