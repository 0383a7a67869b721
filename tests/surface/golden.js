// The golden values of whole models, made by transformers (tests/golden/make_golden.py), and how a run is
// compared with them.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ROOT } from '../../scripts/tools.mjs';

/** Models that may lie next to the repository. */
export const SHARED = join(dirname(ROOT), 'shared', 'models');

/**
 * The golden values of models that are there: `{ model, url, folder, cases, chats }`, `url` as the test
 * server maps it.
 */
export function golden() {
  const folder = join(ROOT, 'tests', 'golden');
  const values = readdirSync(folder).filter((name) => name.endsWith('.json')).map((name) => {
    const { cases, chats } = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    const model = basename(name, '.json');
    const places = { [`/models/${model}/`]: join(ROOT, 'models', model), [`/fixtures/${model}/`]: join(ROOT, 'tests', 'fixtures', model) };
    if (model.startsWith('shared-')) places[`/shared/${model.slice(7)}/`] = join(SHARED, model.slice(7));
    const url = Object.keys(places).find((url) => existsSync(places[url]));
    return { model, url, folder: url && places[url], cases, chats };
  });
  return values.filter(({ url, chats }) => url && chats);
}

/**
 * If the margin of the best logit is below this, relative to the largest, the reference itself is
 * undecided.
 */
const UNDECIDED = 1e-4;

/** How many tokens of a completion are decided. */
export function decided({ tokens, margins }) {
  const first = margins.findIndex((margin) => margin < UNDECIDED);
  return first < 0 ? tokens.length : first;
}

/**
 * Asserts that a run gave the reference's tokens, as far as they are decided. `text` is null if the tokens
 * are not UTF-8.
 */
export function assertSame({ text, finishReason, usage }, golden, promptIds, place) {
  const whole = decided(golden) === golden.tokens.length;
  assert.equal(usage.promptTokens, promptIds.length, place);
  if (whole) assert.equal(finishReason, golden.finish, place);
  if (golden.text === null) return;
  if (whole) assert.equal(text, golden.text, place);
  else assert.equal(text, golden.text.slice(0, text.length), place);
}
