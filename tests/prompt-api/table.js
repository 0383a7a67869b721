// The documented behaviour of the Prompt API, row by row: the behaviour, its source, and its test. The same
// rows run in Node with a fake engine, run in browsers with the real engine, and make the table of
// docs/prompt-api.md.
//
// This runs in a page without a build. Sources: the explainer and the specification of
// webmachinelearning/prompt-api at 2e27365 (June 2026), the shared infrastructure of
// writing-assistance-apis, and web-platform-tests under ai/language-model.

import { holding } from './table-context.js';
import { creating } from './table-create.js';
import { using } from './table-use.js';

/**
 * @typedef {object} Env what a test gets
 * @property {any} LanguageModel a class whose model is available
 * @property {(settings?: object) => any} make creates a new class
 * @property {(messages: { role: string, content: string }[]) => Promise<string>} reference the engine's own
 *   greedy answer to a conversation
 * @property {(folder: string) => string} at the URL of a model: `chat`; `fresh`, the same model, not yet
 *   downloaded; or one that does not exist
 */

/**
 * @typedef {object} Row
 * @property {string} behaviour
 * @property {string} source
 * @property {string} [differs] how this implementation differs
 * @property {'fake' | 'browser'} [only]
 * @property {(env: Env) => Promise<void>} test
 */

/** @type {{ title: string, rows: Row[] }[]} */
export const TABLE = [...creating, ...using, ...holding];
