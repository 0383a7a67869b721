// Errors as a sentence with what to do. In English the library's own words; in Chinese a sentence by code, with the original below as the detail.

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

/** Whether a run or a load ended because somebody wanted it to: by Stop, or by choosing another model meanwhile. @param {any} error */
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
  // Not a file's name: config.json stays as it is.
  const sentence = /^[a-z]+\b(?!\.)/.test(message) ? message.charAt(0).toUpperCase() + message.slice(1) : message;
  const own = has(`error.${code}`);
  const text = own ? t(`error.${code}`, /** @type {any} */ (details)) : code ? sentence : t('error.unknown', { message });
  byId('banner-text').replaceChildren(...withCode(text));
  detail.replaceChildren(...withCode(sentence));
  detail.hidden = !own;
  byId('banner-code').textContent = code;
}

/** What stands between backticks is code. @param {string} text */
function withCode(text) {
  return text.split('`').map((part, place) => (place % 2 ? make('code', {}, part) : part));
}

/**
 * Shows what went wrong in a view: the control at fault is marked, a session that crashed is brought back. A stop is no failure.
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
