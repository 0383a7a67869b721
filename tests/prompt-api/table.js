// What the Prompt API is documented to do, row by row: the behaviour, where it is written down, and its test. The same rows are run in Node on a stand-in for the
// engine, in browsers on the engine, and are the table of docs/prompt-api.md.
//
// Runs in a page as it stands: nothing here but the language. Sources: the explainer and the specification of webmachinelearning/prompt-api at 2e27365 (June 2026), the
// shared infrastructure of writing-assistance-apis, and web-platform-tests under ai/language-model.

import { holding } from './table-context.js';
import { creating } from './table-create.js';
import { using } from './table-use.js';

/**
 * @typedef {object} Env what a test has
 * @property {any} LanguageModel a class whose model is there
 * @property {(settings?: object) => any} make a class of its own
 * @property {(messages: { role: string, content: string }[]) => Promise<string>} reference what the engine itself answers to a conversation, greedily
 * @property {(folder: string) => string} at the address of a model: `chat`, the same as `fresh`, which was not fetched yet, or one that is not there
 */

/**
 * @typedef {object} Row
 * @property {string} behaviour
 * @property {string} source
 * @property {string} [differs] where ours is another, and how
 * @property {'fake' | 'browser'} [only]
 * @property {(env: Env) => Promise<void>} test
 */

/** @type {{ title: string, rows: Row[] }[]} */
export const TABLE = [...creating, ...using, ...holding];
