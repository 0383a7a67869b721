// Which build of the engine and how many threads are chosen in browsers with different features.

import assert from 'node:assert/strict';
import { afterEach, mock, test } from 'node:test';

import { choose, compile } from '../../www/lib/client/builds.js';
import { fastest } from '../../www/lib/worker/threads.js';

afterEach(() => mock.restoreAll());

/** The bytes that identify a probe: the opcodes of i8x16.relaxed_swizzle and i32.atomic.load. */
const RELAXED = '253,128,2';
const ATOMICS = '254,16,2';

/** A browser: the features of its WebAssembly, and its other globals. */
function browser({ lacks = [], cores = 4, isolated = true, pagesMax = 65_536 } = {}) {
  mock.method(WebAssembly, 'validate', (bytes) => !lacks.some((opcodes) => bytes.join().includes(opcodes)));
  const reserved = [];
  mock.method(WebAssembly, 'Memory', function ({ maximum, shared }) {
    reserved.push(maximum);
    if (maximum > pagesMax) throw new RangeError('could not allocate memory');
    return { maximum, shared };
  });
  Object.defineProperty(globalThis, 'navigator', { value: { hardwareConcurrency: cores }, configurable: true });
  globalThis.crossOriginIsolated = isolated;
  return reserved;
}

const auto = { threads: 'auto', deterministic: false };

test('the fastest build that the browser supports is chosen', () => {
  for (const [lacks, deterministic, build] of [
    [[], false, 'relaxed-threads'],
    [[], true, 'simd128-threads'],
    [[RELAXED], false, 'simd128-threads'],
    [[ATOMICS], false, 'relaxed'],
    [[ATOMICS, RELAXED], false, 'simd128'],
    [[ATOMICS], true, 'simd128'],
  ]) {
    browser({ lacks });
    assert.equal(choose({ threads: 'auto', deterministic }).build, build);
  }
});

test('one thread has a reason if more were possible or requested', () => {
  for (const [has, threads, reason] of [
    [{ isolated: false }, 'auto', 'not-isolated'],
    [{ isolated: false }, 4, 'not-isolated'],
    [{ lacks: [ATOMICS] }, 'auto', 'unsupported'],
    [{ cores: 1 }, 'auto', 'one-core'],
    [{ cores: 0 }, 'auto', 'one-core'],
    [{ pagesMax: 10 }, 2, 'no-memory'],
    [{}, 1, undefined],
    [{ isolated: false }, 1, undefined],
  ]) {
    browser(has);
    const { memory, ...choice } = choose({ threads, deterministic: false });
    assert.deepEqual(choice, { build: 'relaxed', threads: 1, auto: threads === 'auto', reason });
    assert.equal(memory, undefined);
  }
});

test('auto uses a thread for each core, at most eight; a number is used as given', () => {
  for (const [cores, threads, started] of [[2, 'auto', 2], [6, 'auto', 6], [64, 'auto', 8], [2, 5, 5], [1, 2, 2]]) {
    browser({ cores });
    assert.equal(choose({ threads, deterministic: false }).threads, started);
  }
});

test('a browser that will not reserve 4 GiB is asked for less', () => {
  const reserved = browser({ pagesMax: 20_000 });
  const { memory } = choose(auto);
  assert.deepEqual(memory, { maximum: 16_384, shared: true });
  assert.deepEqual(reserved, [65_536, 49_152, 32_768, 16_384]);
});

/**
 * Tries numbers of threads with the given milliseconds per token, on a clock that advances only with
 * computation.
 */
function chosen(most, msOf) {
  let [now, limit] = [0, most];
  mock.method(performance, 'now', () => now);
  const tried = new Set();
  const wasm = {
    limitThreads: (threads) => (limit = threads),
    Rehearsal: class {
      step() {
        tried.add(limit);
        now += msOf(limit, now);
      }
      free() {}
    },
  };
  const best = fastest(wasm, {}, most);
  return { best, tried: [...tried], ms: now };
}

test('the fastest number of threads is chosen', () => {
  assert.equal(chosen(4, (threads) => 30 / threads).best, 4);
  assert.equal(chosen(4, (threads) => 30 * threads).best, 1);
  assert.equal(chosen(4, (threads) => [0, 5, 3, 0, 4][threads]).best, 2);
  assert.equal(chosen(2, () => 0.01).best, 1, 'without a gain there is no second thread');
  assert.equal(chosen(1, () => 1).best, 1);
});

test('the powers of two and the maximum are tried, in a short time', () => {
  const { tried, ms } = chosen(6, () => 0.3);
  assert.deepEqual(tried, [6, 4, 2, 1]);
  assert(ms < 70, `${ms}`);
  assert.deepEqual(chosen(8, () => 1).tried, [8, 4, 2, 1]);
  assert(chosen(4, () => 500).ms <= 2000, 'a slow model is tried once for each number');
});

test('a slow start does not count', () => {
  assert.equal(chosen(2, (threads, now) => (now < 20 ? 3 * threads : 1 / threads)).best, 2);
});

test('an engine that cannot be fetched, or whose compilation breaks off, gives NETWORK; one that cannot be compiled does not', async () => {
  const wasm = { headers: { 'content-type': 'application/wasm' } };
  const broken = new ReadableStream({ pull: (controller) => controller.error(new TypeError('network error')) });
  const fails = () => Promise.reject(new TypeError('Failed to fetch'));
  await assert.rejects(compile('simd128', fails), { code: 'NETWORK' });
  await assert.rejects(compile('simd128', async () => new Response(broken, wasm)), { code: 'NETWORK' });
  await assert.rejects(compile('simd128', async () => new Response('no wasm', wasm)), { code: 'UNSUPPORTED_ENVIRONMENT' });
  await assert.rejects(compile('simd128', async () => new Response(null, { status: 404 })), ({ code, details }) => code === 'NETWORK' && details.status === 404);
});
