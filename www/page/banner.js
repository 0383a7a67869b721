// Errors as a sentence that says what to do. In English it is the library's message. In Chinese it is a
// sentence for the code, with the library's message below it.

import { byId, make } from './dom.js';
import { has, t, translated } from './i18n.js';

/** @type {{ code?: string, message: string, details?: Record<string, unknown> } | undefined} */
let shown;

/** @param {unknown} error */
export function showError(error) {
  shown = /** @type {any} */ (error instanceof Error ? error : { message: String(error) });
  render();
  byId('banner').scrollIntoView({ block: 'nearest' });
}

export function clearError() {
  shown = undefined;
  render();
}

/** Whether the visitor ended a run or a load, with Stop or by choosing another model. @param {any} error */
export function wasStopped(error) {
  return error?.name === 'AbortError' || error?.code === 'DISPOSED';
}

export function startBanner() {
  byId('banner-close').addEventListener('click', clearError);
  translated(render);
}

function render() {
  const [banner, detail] = [byId('banner'), byId('banner-detail')];
  banner.hidden = !shown;
  if (!shown) return;
  const { code = '', message, details = {} } = shown;
  // Does not capitalise a file name such as config.json.
  const sentence = /^[a-z]+\b(?!\.)/.test(message) ? message.charAt(0).toUpperCase() + message.slice(1) : message;
  const own = has(`error.${code}`);
  const text = own ? t(`error.${code}`, /** @type {any} */ (details)) : code ? sentence : t('error.unknown', { message });
  byId('banner-text').replaceChildren(...withCode(text));
  detail.replaceChildren(...withCode(sentence));
  detail.hidden = !own;
  byId('banner-code').textContent = code;
}

/** Shows text between backticks as code. @param {string} text */
function withCode(text) {
  return text.split('`').map((part, place) => (place % 2 ? make('code', {}, part) : part));
}

/**
 * Shows an error in a view, marks the control that caused it, and recovers a crashed session. Ignores a
 * stop.
 * @param {any} error
 * @param {import('./seat.js').Seat} seat
 * @param {import('./controls.js').Controls} controls
 */
export function showFailure(error, seat, controls) {
  if (wasStopped(error)) return;
  if (error?.code === 'CRASHED' || error?.code === 'OUT_OF_MEMORY') seat.recover();
  controls.blame(error);
  showError(error);
}
