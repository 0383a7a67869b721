// `fireside cache`: lists, checks and removes the models that were downloaded on this machine.

import { helpOf, parse, Usage } from './cli-options.js';
import { say } from './cli-run.js';
import { cache } from './index.js';
import { size } from './shelf.js';
import { cacheFolder } from './store.js';

/** @import { Option } from './cli-options.js' */

/** @type {Record<string, Option>} */
const OPTIONS = {
  all: { key: 'all', about: 'delete: delete every model' },
  hub: { key: 'hub', takes: 'URL', about: 'The hub from which hf: models are downloaded' },
};
const USAGE = `List, verify or delete the downloaded models in ${cacheFolder()}

Usage: fireside cache list            Lists the models, largest first
       fireside cache verify MODEL    Compares a model with its checksums
       fireside cache delete MODEL    Deletes a model; --all deletes every model

MODEL is hf:OWNER/NAME or a URL, as it was loaded or as the list shows it`;

/**
 * @type {Record<string, (model: string | undefined, options: { all?: boolean, hub?: string }) =>
 *   Promise<number>>}
 */
const ACTIONS = {
  async list() {
    const models = await cache.list();
    for (const { source, bytes, complete } of models) process.stdout.write(`${size(bytes).padStart(9)}  ${complete ? 'complete' : 'partial '}  ${source}\n`);
    say(models.length > 0 ? `${size(await cache.size())} in ${cacheFolder()}\n` : `nothing is kept in ${cacheFolder()}\n`);
    return 0;
  },

  async verify(model, { hub }) {
    const files = await cache.verify(named('verify', model), { hub });
    for (const { file, ok } of files) process.stdout.write(`${ok ? 'ok     ' : 'damaged'}  ${file}\n`);
    const isWhole = files.every(({ ok }) => ok);
    if (!isWhole) say('Damaged files are fetched again when the model is loaded next.\n');
    return isWhole ? 0 : 1;
  },

  async delete(model, { all, hub }) {
    if (all && model) throw new Usage('--all and a MODEL exclude each other');
    const freed = await (all ? cache.delete() : cache.delete(named('delete', model), { hub }));
    if (freed === 0 && !all) throw new Error(`nothing is kept of ${model}: \`fireside cache list\` shows what is`);
    say(`${size(freed)} freed\n`);
    return 0;
  },
};

/** @param {string} action @param {string | undefined} model */
function named(action, model) {
  if (!model) throw new Usage(`MODEL is missing: fireside cache ${action} hf:OWNER/NAME${action === 'delete' ? ', or --all' : ''}`);
  return model;
}

/** @param {string[]} args @returns {Promise<number>} the exit status */
export async function manage(args) {
  const { values, positionals, help } = parse(args, OPTIONS, { optional: ['ACTION', 'MODEL'] });
  if (help) {
    process.stdout.write(helpOf(USAGE, OPTIONS));
    return 0;
  }
  const [action, model] = positionals;
  if (action === undefined || !Object.hasOwn(ACTIONS, action)) throw new Usage(`${action === undefined ? 'an action is missing' : `there is no action \`${action}\``}: list, verify or delete`);
  return ACTIONS[action](model, values);
}
