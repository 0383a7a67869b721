// How a session draws tokens: with the model's published defaults, a mode that scales them, or numbers.

import { notSupported } from './exceptions.js';

/** @import { SamplingDefaults } from '../../shared/types.d.ts' */

/** The factor of each mode on the model's temperature. The specification leaves the numbers open. */
export const MODES = Object.freeze({
  'most-predictable': 0,
  predictable: 0.5,
  'slightly-predictable': 0.75,
  balanced: 1,
  'slightly-creative': 1.15,
  creative: 1.3,
  'most-creative': 1.6,
});

/** @typedef {keyof typeof MODES} Mode */

/** The highest temperature; higher ones are lowered to it. */
const TEMPERATURE_MAX = 2;

/** The temperature that modes scale if the model is published as greedy. */
const TEMPERATURE = 0.7;

/**
 * The sampling of a session: the engine's options, and the session's attributes.
 * @typedef {object} Sampling
 * @property {{ temperature?: number, topK?: number }} options
 * @property {Mode | null} samplingMode
 * @property {number} temperature
 * @property {number} topK
 */

/**
 * Checks the numbers. Throws a RangeError for one out of range, NotSupportedError if only one is given.
 * @param {{ temperature?: number, topK?: number }} asked
 */
export function checkSampling({ temperature, topK }) {
  if (temperature === undefined && topK === undefined) return;
  if (temperature === undefined || topK === undefined) throw notSupported('Either both of `temperature` and `topK`, or neither.');
  if (!(temperature >= 0)) throw new RangeError('`temperature` is 0 or more.');
  if (!(topK >= 1)) throw new RangeError('`topK` is 1 or more.');
}

/**
 * @param {{ samplingMode?: Mode, temperature?: number, topK?: number }} asked
 * @param {{ defaults: SamplingDefaults, vocab: number }} model
 * @returns {Sampling}
 */
export function sampling({ samplingMode = 'balanced', temperature, topK }, { defaults, vocab }) {
  const all = defaults.topK || vocab;
  if (temperature !== undefined && topK !== undefined) {
    const options = { temperature: Math.min(temperature, TEMPERATURE_MAX), topK: Math.min(Math.floor(topK), vocab) };
    return { options, samplingMode: null, ...options };
  }
  if (samplingMode === 'balanced') return { options: {}, samplingMode, temperature: defaults.temperature, topK: all };
  const warmth = (defaults.temperature || TEMPERATURE) * MODES[samplingMode];
  return { options: { temperature: warmth }, samplingMode, temperature: warmth, topK: all };
}

/** The result of `params()`. @param {{ defaults: SamplingDefaults, vocab: number }} model */
export function params({ defaults, vocab }) {
  return Object.freeze({
    defaultTopK: defaults.topK || vocab,
    maxTopK: vocab,
    defaultTemperature: defaults.temperature,
    maxTemperature: TEMPERATURE_MAX,
  });
}
