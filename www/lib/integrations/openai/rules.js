// The checks of parameters. A rule takes a value and the parameter's name. It returns the value in the form
// used from there on, or throws a 400 in OpenAI's words.

import { invalid } from './errors.js';

/** @typedef {(value: any, name: string) => any} Rule */

/** @param {unknown} value */
function typeName(value) {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (Number.isInteger(value)) return 'an integer';
  if (typeof value === 'number') return 'a decimal';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** @param {string} name @param {string} expected @param {unknown} value */
export function wrongType(name, expected, value) {
  return invalid(name, 'invalid_type', `Invalid type for '${name}': expected ${expected}, but got ${typeName(value)} instead.`);
}

/** @param {string} kind `decimal` or `integer` @param {number} min @param {number} max @returns {Rule} */
function bounded(kind, min, max) {
  return (value, name) => {
    const isKind = typeof value === 'number' && (kind === 'decimal' || Number.isInteger(value) || !Number.isFinite(value));
    if (!isKind) throw wrongType(name, kind === 'decimal' ? 'a decimal' : 'an integer', value);
    // `1e999` is JSON, and infinite.
    if (value < min) throw invalid(name, `${kind}_below_min_value`, `Invalid '${name}': ${kind} below minimum value. Expected a value >= ${min}, but got ${value} instead.`);
    if (!(value <= max)) throw invalid(name, `${kind}_above_max_value`, `Invalid '${name}': ${kind} above maximum value. Expected a value <= ${max}, but got ${value} instead.`);
    return value;
  };
}

/** @param {number} min @param {number} max */
export const decimal = (min, max) => bounded('decimal', min, max);

/** @param {number} min @param {number} max */
export const integer = (min, max) => bounded('integer', min, max);

/** @type {Rule} */
export function boolean(value, name) {
  if (typeof value !== 'boolean') throw wrongType(name, 'a boolean', value);
  return value;
}

/** @type {Rule} */
export function string(value, name) {
  if (typeof value !== 'string') throw wrongType(name, 'a string', value);
  return value;
}

/** One text or several. @param {number} countMax @returns {Rule} */
export function strings(countMax) {
  return (value, name) => {
    const list = Array.isArray(value) ? value : [value];
    if (list.length > countMax) throw invalid(name, 'array_above_max_length', `Invalid '${name}': array too long. Expected at most ${countMax} elements, but got ${list.length} instead.`);
    list.forEach((text, index) => string(text, Array.isArray(value) ? `${name}[${index}]` : name));
    return list;
  };
}

/** @param {Rule} rule of each value @returns {Rule} */
export function objectOf(rule) {
  return (value, name) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) throw wrongType(name, 'an object', value);
    for (const [key, each] of Object.entries(value)) rule(each, `${name}.${key}`);
    return value;
  };
}

/**
 * Takes nothing but what leaves the answer as it is.
 * @param {(value: unknown) => boolean} isNeutral
 * @param {string} what is honoured instead
 * @returns {Rule}
 */
export function only(isNeutral, what) {
  return (value, name) => {
    if (!isNeutral(value)) throw invalid(name, 'unsupported_value', `Unsupported value: '${name}' is not supported by this server with that value. ${what}`);
    return undefined;
  };
}

/** @param {unknown} value */
export const isEmpty = (value) => Array.isArray(value) && value.length === 0;
