// What is known before a download: estimates from headers, and models that cannot fit.

import assert from 'node:assert/strict';
import { assertGolden } from '../driver.mjs';
import { WEIGHTS } from '../models.mjs';
import { ALL, NOTHING } from '../runner.mjs';

/** More than the config, index and headers of these models; their weights are megabytes. */
const HEADERS = 300_000;

const estimateOf = (page, driver, source, options = {}) =>
  driver.run(page, ({ Model }, { source, options }) => Model.estimate(source, options).catch((error) => ({ code: error.code, message: error.message })), { source, options });

/** Asserts that only parts of the weights were requested. */
function assertHeadersOnly(log) {
  const weights = log.filter(({ file, method }) => file.endsWith('.safetensors') && method === 'GET');
  assert(weights.length > 0);
  for (const { range, bytes } of weights) {
    assert.match(range ?? 'none', /^bytes=\d+-\d+$/);
    assert(bytes <= HEADERS, `${bytes} bytes for ${range}`);
  }
  return weights;
}

/** @type {import('../runner.mjs').Case[]} */
export const estimates = [
  ...['chat', 'shards'].map((model) => ({
    fault: `the memory of a model ${model === 'shards' ? 'in three files ' : ''}is estimated before it is loaded`,
    sees: 'the same figures as after loading it',
    again: 'only the headers are fetched',
    run: ({ driver, server }) =>
      driver.withPage(async (page) => {
        const folder = server.folder(model);
        const estimate = await estimateOf(page, driver, folder.url);
        assert.equal(estimate.code, undefined, estimate.message);
        assert(folder.sent() <= HEADERS, `${folder.sent()} bytes were sent`);
        assertHeadersOnly(folder.log);
        const info = await driver.run(page, ({ Model }, source) => Model.load(source, { threads: 1 }).then((model) => (model.dispose(), model.info())), folder.url);
        const same = ({ dtype, weightBytes, kvBytesPerToken, context }) => ({ dtype, weightBytes, kvBytesPerToken, context });
        assert.deepEqual(same(estimate), same(info));
        const fileBytes = [...folder.files].filter(([name]) => name.endsWith('.safetensors')).reduce((sum, [, { length }]) => sum + length, 0);
        assert.equal(estimate.fileBytes, fileBytes);
        assert.equal(estimate.kvBytesPer1000Tokens, 1000 * info.kvBytesPerToken);
        assert.equal(estimate.fits, true);
        assert(estimate.loadBytes >= estimate.weightBytes);
        return 'text';
      }),
  })),
  {
    fault: 'the memory of a model is estimated from a server that cannot send parts of files',
    sees: 'the same figures, without waiting for the rest of the response',
    again: 'the headers, and bytes in transit',
    run: ({ driver, server }) =>
      driver.withPage(async (page) => {
        const [folder, other] = [server.folder('chat'), server.folder('chat').on('*', { ranges: false })];
        const estimate = await estimateOf(page, driver, folder.url);
        assert.deepEqual(await estimateOf(page, driver, other.url), estimate);
        return 'text';
      }),
  },
  {
    fault: 'a model does not fit into memory',
    sees: '`OUT_OF_MEMORY` with the required and the available memory, before the weights are fetched',
    again: ALL,
    run: ({ driver, server }) =>
      driver.withPage(async (page) => {
        const folder = server.folder('chat');
        const first = await driver.load(page, folder, { options: { memoryBytesMax: 2_000_000 } });
        assert.equal(first.code, 'OUT_OF_MEMORY', first.message ?? first.text);
        assert(folder.sent(/safetensors/) <= HEADERS, `${folder.sent(/safetensors/)} bytes of weights were sent`);
        const estimate = await estimateOf(page, driver, folder.url, { memoryBytesMax: 2_000_000 });
        assert.equal(estimate.fits, false);
        assert.equal(typeof estimate.remedy, 'string');
        assertGolden(await driver.load(page, folder), 'chat');
        return 'OUT_OF_MEMORY';
      }),
  },
  {
    fault: 'the memory of a model is estimated from an HTML page',
    sees: '`NOT_A_MODEL_FILE`',
    again: NOTHING,
    run: ({ driver, server }) =>
      driver.withPage(async (page) => {
        const folder = server.folder('chat').on(WEIGHTS, { body: '<!doctype html>', headers: { 'Content-Type': 'text/html' } });
        const estimate = await estimateOf(page, driver, folder.url);
        assert.equal(estimate.code, 'NOT_A_MODEL_FILE', estimate.message);
        return 'NOT_A_MODEL_FILE';
      }),
  },
];
