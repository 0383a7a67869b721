// The models stored in this browser: their sizes, and buttons to remove them.

import { cache } from '../lib/index.js';
import { showError } from './banner.js';
import { byId, make } from './dom.js';
import { bytes, t } from './i18n.js';
import { announce } from './speech.js';

/** Lists the stored models. @param {(address: string) => string} nameOf a model's name by its address */
export async function listKept(nameOf) {
  const models = await cache.list();
  byId('kept').hidden = models.length === 0;
  byId('kept-list').replaceChildren(
    ...models.map(({ source, bytes: size, complete }) => {
      const name = nameOf(source);
      const button = make('button', { type: 'button', 'aria-label': t('picker.removeNamed', { name }) }, t('picker.remove'));
      button.addEventListener('click', async () => {
        try {
          announce(t('picker.removed', { name, size: bytes(await cache.delete(source)) }));
        } catch (error) {
          showError(error);
        }
        await listKept(nameOf);
      });
      const amount = t(complete ? 'picker.keptSize' : 'picker.keptPart', { size: bytes(size) });
      return make('li', {}, make('span', { title: source }, name), make('span', { className: 'hint' }, amount), button);
    }),
  );
}
