// What the fault tests share: pages of one profile, loads in them with their outcomes, and the golden text
// in which a load must end.

import assert from 'node:assert/strict';
import { golden, launch, PATIENCE_MS } from '../browser/harness.js';

/**
 * Settings for the browsers: puppeteer would have Firefox keep the body of every response, 100 MB for fifty
 * loads of the smallest model.
 */
export const UNWATCHED = { networkEnabled: false };

/** The library's chunk size in the cache. */
export const CHUNK = 1 << 20;

const goldenOf = (model) => golden().find((values) => values.model === model);
const [storyCase] = goldenOf('story').cases;
const [greenTurn] = goldenOf('chat').chats[1].turns;
const [tinyCase] = goldenOf('llama-sharded-bf16').cases;

/** Each model's prompt and golden answer. */
export const TOLD = {
  chat: { chat: greenTurn.user, maxTokens: greenTurn.tokens.length, text: greenTurn.text },
  story: { generate: storyCase.prompt, maxTokens: 24, start: storyCase.greedy.text },
  tiny: { generate: tinyCase.prompt, maxTokens: 8, start: tinyCase.greedy.text },
};
TOLD.shards = TOLD.gguf = TOLD.chat;

/**
 * Asserts that a load ended with the golden text.
 * @param {any} outcome
 * @param {string} model
 */
export function assertGolden(outcome, model) {
  const { text, start } = TOLD[model];
  assert.equal(outcome.code, undefined, `${outcome.code}: ${outcome.message}`);
  if (text !== undefined) assert.equal(outcome.text, text);
  else assert(outcome.text.length > 0 && start.startsWith(outcome.text), outcome.text);
}

/** Runs in the page: loads, asks, disposes. Resolves with the outcome, which may be an error. */
async function tell({ Session }, { source, options, asked, keep }) {
  const progress = [];
  window.loaded = 0;
  const onProgress = ({ phase, file, loaded, total }) => {
    progress.push([phase, file, loaded, total ?? null]);
    window.loaded = loaded;
  };
  try {
    const session = await Session.load(source, { ...options, onProgress });
    const how = { temperature: 0, repetitionPenalty: 1, maxTokens: asked.maxTokens };
    const { text } = await (asked.chat ? session.chat(asked.chat, how) : session.generate(asked.generate, how));
    const { cache, cacheReason, dtype } = session.info();
    if (keep) window.kept = session;
    else session.dispose();
    return { text, info: { cache, cacheReason, dtype }, progress };
  } catch (error) {
    return { code: error.name === 'FiresideError' ? error.code : error.name, message: error.message, details: error.details, progress };
  }
}

/** Progress never decreases, and never exceeds a known total. */
function assertProgress(progress) {
  let before = 0;
  for (const [phase, file, loaded, total] of progress) {
    assert(['download', 'cache', 'build'].includes(phase), phase);
    assert(loaded >= before, `loaded ran backwards: ${before}, ${loaded} at ${file}`);
    assert(total === null || loaded <= total, `${loaded} of ${total} at ${file}`);
    before = loaded;
  }
}

/** The pages and loads of a browser. */
export class Driver {
  /** Pages that wait for their next use. */
  #idle = [];

  /**
   * @param {any} browser from harness.js
   * @param {any} server of faults
   */
  constructor(browser, server) {
    this.browser = browser;
    this.server = server;
    this.name = browser.name;
  }

  /**
   * A page of the common profile, or of another context; `worker`: runs in place of the engine's worker.
   * @param {{ worker?: string, context?: any }} [settings]
   */
  async newPage({ worker = '', context = this.browser.browser } = {}) {
    // Firefox occasionally loses a new page.
    const page = await context.newPage().catch(() => context.newPage());
    page.setDefaultTimeout(PATIENCE_MS);
    await page.goto(`${this.server.url}faults/page.html${worker && `?worker=${encodeURIComponent(worker)}`}`);
    const end = Date.now() + PATIENCE_MS;
    while (!(await page.evaluate(() => Boolean(window.fireside)).catch(() => false))) {
      assert(Date.now() < end, 'the page has not loaded the library');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return page;
  }

  /**
   * Runs `body(page)` with a page from the pool. A page in which it failed does not return to the pool.
   * @template T
   * @param {(page: any) => Promise<T>} body
   * @returns {Promise<T>}
   */
  async withPage(body) {
    const page = this.#idle.pop() ?? (await this.newPage());
    const result = await body(page).catch(async (error) => {
      await page.close().catch(() => {});
      throw error;
    });
    this.#idle.push(page);
    return result;
  }

  /**
   * Runs `body(fireside, args)` in a page.
   * @param {any} page
   * @param {Function | string} body
   * @param {any} [args]
   */
  run(page, body, args) {
    return page.evaluate(`(${body})(window.fireside, ${JSON.stringify(args ?? null)})`);
  }

  /**
   * Loads a folder's model and asks it. Resolves with `{ text, info }` or `{ code, message, details }`, and
   * `bytes`, the number of bytes that the server sent meanwhile.
   * @param {any} page
   * @param {any} folder
   * @param {{ model?: string, source?: string, options?: object, keep?: boolean }} [settings]
   */
  async load(page, folder, { model = 'chat', source = folder.url, options = {}, keep = false } = {}) {
    const before = folder.log.length;
    const outcome = await this.run(page, tell, { source, options: { threads: 1, ...options }, asked: TOLD[model], keep });
    assertProgress(outcome.progress);
    const log = folder.log.slice(before);
    // A lock file is useful only if it is fetched each time.
    const files = log.filter(({ file, status }) => file !== 'fireside.lock.json' && (status === 200 || status === 206));
    return { ...outcome, log, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) };
  }

  /**
   * The bytes of a folder's model in the cache.
   * @param {any} page
   * @param {any} folder
   */
  async stored(page, folder) {
    const models = await this.run(page, ({ cache }) => cache.list());
    return models.find(({ source }) => source.includes(folder.hub?.path ?? folder.path))?.bytes ?? 0;
  }

  /**
   * Waits until a stalled load has stored all complete chunks that were sent; a break before that may lose
   * them in transit.
   * @param {any} page
   * @param {any} folder
   */
  async settled(page, folder) {
    const whole = ({ file, bytes }) => (bytes === folder.files.get(file)?.length ? bytes : bytes - (bytes % CHUNK));
    const expected = folder.log.reduce((sum, entry) => sum + whole(entry), 0);
    const end = Date.now() + 10_000;
    while ((await page.evaluate(() => window.loaded)) < expected && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /**
   * A page in a private window. In Chromium other contexts are private. In Firefox they are not, so it is
   * started again.
   */
  async privatePage() {
    if (this.name === 'chrome') return this.apartPage();
    const browser = await launch(this.name, { prefs: { 'browser.privatebrowsing.autostart': true } });
    return { page: await this.newPage({ context: browser }), end: () => browser.close() };
  }

  /** A page with separate storage. */
  async apartPage() {
    const context = await this.browser.browser.createBrowserContext();
    return { page: await this.newPage({ context }), end: () => context.close() };
  }

  /** A page of a site that may store this many bytes. */
  async limitedPage(bytes) {
    if (this.name === 'firefox') {
      const browser = await launch(this.name, { prefs: { 'dom.quotaManager.temporaryStorage.fixedLimit': bytes >> 10 } });
      return { page: await this.newPage({ context: browser }), end: () => browser.close() };
    }
    const page = await this.newPage();
    const client = await page.createCDPSession();
    const origin = new URL(this.server.url).origin;
    await this.run(page, ({ cache }) => cache.delete());
    await client.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: bytes });
    return {
      page,
      end: async () => {
        await client.send('Storage.overrideQuotaForOrigin', { origin });
        await page.close();
      },
    };
  }
}
