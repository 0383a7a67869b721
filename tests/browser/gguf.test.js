// A GGUF file on the page: by its address, and dropped as a file with any name.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';
import { gguf } from '../gguf.mjs';
import { golden, inEachBrowser, serveTests } from './harness.js';
import { GREEDY, visitor } from './visitor.js';

const STORY = golden().find(({ model }) => model === 'story').cases[0];

const folder = mkdtempSync(join(tmpdir(), 'fireside-gguf-'));
after(() => rmSync(folder, { recursive: true }));
let server;
before(async () => {
  writeFileSync(join(folder, 'tale-F16.gguf'), gguf(join(ROOT, 'models', 'story'))[0]);
  server = await serveTests({ mounts: { '/gguf/': folder } });
});
after(() => server.close());

/** Runs in the page: drops a file that has the content of an address. */
async function drop({ url, name }) {
  const data = new DataTransfer();
  data.items.add(new File([await (await fetch(url)).blob()], name));
  for (const type of ['dragenter', 'dragover', 'drop']) dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
}

inEachBrowser('GGUF', (browser) => {
  const tells = async (it) => {
    await it.set('story', { ...GREEDY, maxTokens: 200 });
    assert.equal(await it.tell(STORY.prompt), STORY.prompt + STORY.greedy.text);
  };
  const named = (it, name) => it.until((name) => document.getElementById('loading').hidden && document.getElementById('pick').textContent.includes(name), name);

  test('the page loads a GGUF file by its address, and lists it as stored', async () => {
    const it = visitor(await browser.open(server.url));
    await it.loaded();
    await it.click('pick');
    await it.type('address', '/gguf/tale-F16.gguf');
    await it.page.keyboard.press('Enter');
    await named(it, 'tale-F16');
    await tells(it);
    await it.click('pick');
    await it.until(() => document.getElementById('kept-list').textContent.includes('tale-F16'));
    await it.close();
  });

  test('the page takes a dropped GGUF file, whatever its name', async () => {
    const it = visitor(await browser.open(server.url));
    await it.loaded();
    const before = await it.text('pick');
    await it.page.evaluate(drop, { url: '/gguf/tale-F16.gguf', name: 'photo.png' });
    await it.until((before) => document.getElementById('loading').hidden && document.getElementById('pick').textContent !== before, before);
    await tells(it);
    await it.close();
  });
});
