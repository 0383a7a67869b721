// What a visitor does on the page, shared by its tests.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What a visitor does on the page, by the ids of index.html. */
export function visitor({ page, until, close }) {
  const visible = (id) => page.evaluate((id) => document.getElementById(id).checkVisibility(), id);
  const shown = (id) => until((id) => document.getElementById(id).checkVisibility(), id);
  const text = (id) => page.evaluate((id) => document.getElementById(id).textContent, id);
  const click = async (id) => {
    await shown(id);
    await page.click(`#${id}`);
  };
  const type = async (id, value) => {
    await shown(id);
    await page.evaluate((id) => document.getElementById(id).select(), id);
    await page.type(`#${id}`, value);
  };
  const loaded = () => until(() => document.getElementById('loading').hidden && document.getElementById('model-facts').textContent !== '');
  return {
    page, until, close, visible, shown, text, click, type, loaded,
    /** Sets sampling controls of a view by name. */
    async set(view, values) {
      await loaded();
      await page.evaluate((view) => (document.getElementById(`${view}-controls`).open = true), view);
      for (const [name, value] of Object.entries(values)) await type(`${view}-controls-${name}`, String(value));
    },
    /** Tells the story of `opening` to its end, and resolves with the whole text. */
    async tell(opening) {
      await type('opening', opening);
      await click('tell');
      await shown('again');
      return text('tale');
    },
    /** Sends a chat message and resolves with the answer. */
    async say(message) {
      await type('message', message);
      await click('send');
      await shown('send');
      await until(() => !document.querySelector('#transcript [data-running]'));
      return page.evaluate(() => document.querySelector('#transcript li:last-child .says').textContent);
    },
    /** The faults that axe finds in the page. */
    async faults() {
      await page.evaluate(AXE);
      return page.evaluate(async () => {
        const { violations } = await window.axe.run(document, { rules: { 'color-contrast-enhanced': { enabled: false } } });
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
      });
    },
    /** The transcript as text: `[who, what]` of each turn that counts. */
    turns: () =>
      page.evaluate(() =>
        [...document.querySelectorAll('#transcript .turn:not(.void)')].map((turn) => [turn.classList[1], turn.querySelector('.says, textarea').textContent]),
      ),
    /**
     * Presses a button of a turn: `edit`, `again` or `branch`.
     * @param {string} name
     * @param {number} index of the turn, from 0 or, if negative, from the end
     */
    async press(name, index) {
      const place = { edit: '.you .tool', again: '.model .again', branch: '.model .tool:last-child' }[name];
      const buttons = await page.$$(`#transcript ${place}`);
      await buttons.at(index).evaluate((button) => button.scrollIntoView({ block: 'center' })); // the composer may cover it
      await buttons.at(index).click();
    },
    /** Waits until the running answer has ended. */
    answered: () => until(() => !document.querySelector('#transcript [data-running]') && document.getElementById('send').checkVisibility()),
    /** Waits until `count` sessions of chats or the story are stored. */
    kept: (count) => until(async (count) => (await window.database('fireside-states', 'states', 'getAllKeys')).length === count, count),
    banner: async () => ((await visible('banner')) ? `${await text('banner-code')}: ${await text('banner-text')}` : ''),
  };
}

/** For `setup`: lets a test call a method of an IndexedDB object store; [] if there is no such database. */
export function withDatabase() {
  window.database = (name, store, method, ...args) =>
    new Promise((resolve, reject) => {
      const opening = indexedDB.open(name);
      opening.onupgradeneeded = () => opening.transaction.abort(); // only the page creates it
      opening.onerror = () => resolve([]);
      opening.onsuccess = () => {
        const request = opening.result.transaction(store, 'readwrite').objectStore(store)[method](...args);
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
        opening.result.close();
      };
    });
}

/** Options that choose the reference's tokens. */
export const GREEDY = { temperature: 0, repetitionPenalty: 1 };
