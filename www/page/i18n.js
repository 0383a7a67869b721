// The page in two languages: static text through data-i18n attributes, the rest through t(). Text of a
// model is never translated.

import { byId, remember } from './dom.js';
import en from './strings.en.js';
import zh from './strings.zh.js';

/** @typedef {keyof typeof en} Key */

/** @type {Record<string, Record<string, string>>} */
const STRINGS = { en, 'zh-CN': zh };
/** @type {Set<() => void>} */
const listeners = new Set();

export function language() {
  return document.documentElement.lang;
}

/**
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
  const text = STRINGS[language()]?.[key] ?? STRINGS.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ''));
}

/** Whether the current language has a string with this key. @param {string} key */
export function has(key) {
  return key in (STRINGS[language()] ?? {});
}

/** Calls `render` now and whenever the language changes. @param {() => void} render */
export function translated(render) {
  listeners.add(render);
  render();
}

/**
 * @param {number} value
 * @param {number} [digits]
 */
export function number(value, digits = 0) {
  return new Intl.NumberFormat(language(), { maximumFractionDigits: digits }).format(value);
}

/** A count such as 1.05M or 105万. @param {number} value */
export function compact(value) {
  return new Intl.NumberFormat(language(), { notation: 'compact', maximumSignificantDigits: 3 }).format(value);
}

/** Decimal megabytes, as download sizes are given. @param {number} value */
export function bytes(value) {
  const unit = value < 1e6 ? 'kilobyte' : value < 1e9 ? 'megabyte' : 'gigabyte';
  const scale = { kilobyte: 1e3, megabyte: 1e6, gigabyte: 1e9 }[unit];
  const digits = unit === 'kilobyte' ? 0 : 1;
  return new Intl.NumberFormat(language(), {
    style: 'unit',
    unit,
    unitDisplay: 'short',
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value / scale);
}

export function startLanguage() {
  const button = byId('language', HTMLButtonElement);
  button.addEventListener('click', () => {
    document.documentElement.lang = language() === 'en' ? 'zh-CN' : 'en';
    remember('language', language());
    apply();
  });
  apply();
}

function apply() {
  document.title = t('name');
  const button = byId('language');
  const other = language() === 'en' ? 'zh-CN' : 'en';
  button.lang = other;
  button.textContent = other === 'en' ? 'English' : '中文';
  for (const node of document.querySelectorAll('[data-i18n]')) node.textContent = t(node.getAttribute('data-i18n') ?? '');
  for (const node of document.querySelectorAll('[data-i18n-label]'))
    node.setAttribute('aria-label', t(node.getAttribute('data-i18n-label') ?? ''));
  for (const node of document.querySelectorAll('[data-i18n-placeholder]'))
    node.setAttribute('placeholder', t(node.getAttribute('data-i18n-placeholder') ?? ''));
  for (const render of listeners) render();
}
