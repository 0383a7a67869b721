// `fireside estimate` prints what a model needs, before its download. `fireside inspect` prints what a loaded
// model contains.

import { helpOf, MODEL, modelOf, parse } from './cli-options.js';
import { loadModel, naming } from './cli-run.js';
import { Model } from './index.js';
import { size } from './shelf.js';

/** @import { Estimate, LoadOptions, ModelInfo } from '../shared/types.d.ts' */

const ABOUT = {
  estimate: 'Compute the memory of a model from its config and the headers of its weights, before its download',
  inspect: 'Show what a model contains and how much memory it needs; a remote model is downloaded and stored',
};

/** @param {string} name @param {string} value */
const row = (name, value) => process.stdout.write(`${name.padEnd(12)} ${value}\n`);

/** @param {string[]} args @returns {Promise<number>} the exit status */
export const estimate = (args) => about('estimate', args, async (source, options) => needs(await naming(source, Model.estimate(source, options))));

/** @param {string[]} args @returns {Promise<number>} the exit status */
export const inspect = (args) =>
  about('inspect', args, async (source, options) => {
    const model = await loadModel(source, options);
    row('model', source);
    contents(model.info());
    model.dispose();
    return 0;
  });

/**
 * @param {keyof typeof ABOUT} command
 * @param {string[]} args
 * @param {(source: string, options: LoadOptions) => Promise<number>} tell
 */
async function about(command, args, tell) {
  const { values, positionals, help } = parse(args, MODEL, { optional: ['MODEL'] });
  if (help) {
    process.stdout.write(helpOf(`${ABOUT[command]}\n\nUsage: fireside ${command} MODEL [OPTIONS]`, MODEL));
    return 0;
  }
  const { source, options } = modelOf({ source: positionals[0], ...values });
  return tell(source, options);
}

/** @param {ModelInfo} info */
function contents({ family, parameters, layers, hidden, vocab, context, dtype, weightBytes, kvBytesPerToken, chatTemplate, chatTemplateKwargs, defaults, ignoredConfig }) {
  row('family', family);
  row('parameters', `${(parameters / 1e6).toFixed(2)} M`);
  row('shape', `${layers} layers, hidden ${hidden}`);
  row('context', `${context} tokens`);
  row('vocabulary', `${vocab} rows`);
  row('template', chatTemplate === 'model' ? "the model's own" : chatTemplate === 'chatml' ? 'none; a chat uses ChatML' : chatTemplate);
  if (chatTemplateKwargs.length > 0) row('', `it reads --template-kwarg ${chatTemplateKwargs.join(', ')}`);
  const { temperature, topP, minP, typicalP, repetitionPenalty } = defaults;
  row('sampling', `temperature ${temperature}, top-k ${defaults.topK}, top-p ${topP}, min-p ${minP}, typical-p ${typicalP}, repetition penalty ${repetitionPenalty}`);
  row('memory', `${size(weightBytes)} for the weights as ${dtype}, ${size(1000 * kvBytesPerToken)} of KV cache for 1,000 tokens`);
  if (ignoredConfig.length > 0) row('not used', ignoredConfig.join(', '));
}

/** Prints what a model takes. Returns 1 where it does not fit. @param {Estimate} estimate */
function needs({ dtype, weightBytes, fileBytes, kvBytesPer1000Tokens, context, contextThatFits, loadBytes, memoryBytes, fits, remedy }) {
  row('download', `${size(fileBytes)} of weights`);
  row('memory', `${size(weightBytes)} for the weights as ${dtype}, ${size(loadBytes)} with the engine, ${size(kvBytesPer1000Tokens)} of KV cache for 1,000 tokens`);
  row('context', `${context} tokens, of which ${contextThatFits} fit into ${size(memoryBytes)}`);
  row('fits', fits ? 'yes' : `no. ${remedy}`);
  return fits ? 0 : 1;
}
