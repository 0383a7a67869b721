// The fault matrix: every case in both browsers, and the table of their outcomes in record.md.
//
// Several cases run at the same time, each with its own folder, because most of them wait for a pause
// between two attempts. `FAULTS_ONLY='firefox.*hub'` before the command runs the cases that match: browser,
// section and name in one line.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { inEachBrowser } from '../browser/harness.js';
import { answers } from './cases/answers.mjs';
import { cache } from './cases/cache.mjs';
import { changes, hub } from './cases/changes.mjs';
import { estimates } from './cases/estimate.mjs';
import { ggufFiles } from './cases/gguf.mjs';
import { kills, sharing } from './cases/kills.mjs';
import { network } from './cases/network.mjs';
import { sources } from './cases/sources.mjs';
import { supervision } from './cases/supervision.mjs';
import { Driver, UNWATCHED } from './driver.mjs';
import { runCase } from './runner.mjs';
import { serveFaults } from './server.mjs';
import { committedTable, renderTable, writeTable } from './table.mjs';

const SECTIONS = {
  'The network': network,
  'Answers that are not what they seem': answers,
  'Files that change': changes,
  'The hub': hub,
  'What is stored': cache,
  'Loads that end in the middle': kills,
  'Two loads at once': sharing,
  'Files in the page\'s hands': sources,
  'GGUF files': ggufFiles,
  'Before a download': estimates,
  'The engine and its worker': supervision,
};
const CASES = Object.entries(SECTIONS).flatMap(([section, cases]) => cases.map((one) => ({ section, ...one })));

const CHOSEN = new RegExp(process.env.FAULTS_ONLY ?? '');

/** How many cases run side by side. */
const ABREAST = 6;

/** How each case ended, by `browser fault`. @type {Map<string, string>} */
const ended = new Map();

let server;
before(async () => (server = await serveFaults()));
after(() => server.close());

test('every case has a unique name', () => {
  assert.equal(new Set(CASES.map(({ fault }) => fault)).size, CASES.length);
});

inEachBrowser('faults', (browser) => {
  let driver;
  before(() => (driver = new Driver(browser, server)));
  const define = (one) =>
    test(`${one.fault}: ${one.sees}`, { timeout: one.patienceMs ?? 120_000 }, async () => {
      ended.set(`${browser.name} ${one.fault}`, await runCase(one, driver));
    });
  const here = CASES.filter(({ section, fault }) => CHOSEN.test(`${browser.name} ${section}: ${fault}`));
  describe('side by side', { concurrency: ABREAST }, () => here.filter(({ alone }) => !alone).forEach(define));
  describe('one after another', () => here.filter(({ alone }) => alone).forEach(define));
}, UNWATCHED);

test('tests/faults/record.md matches this run', (context) => {
  if (process.env.FAULTS_ONLY) return context.skip('only some of the cases were run');
  const table = renderTable(CASES, ended);
  if (process.env.FAULTS_TABLE === 'write') writeTable(table);
  assert.equal(committedTable(), table);
  return undefined;
});
