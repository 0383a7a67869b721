// `fireside generate PROMPT`: one text, continued on standard output.

import { helpOf, MODEL, modelOf, parse, SAMPLING, samplingOf } from './cli-options.js';
import { loadModel, say, write } from './cli-run.js';

const OPTIONS = { ...MODEL, ...SAMPLING };
const USAGE = 'Continue a text\n\nUsage: fireside generate PROMPT --model DIR [OPTIONS]';

/** @param {string[]} args @returns {Promise<number>} the exit status */
export async function generate(args) {
  const { values, positionals, help } = parse(args, OPTIONS, { positionals: ['PROMPT'] });
  if (help) {
    process.stdout.write(helpOf(USAGE, OPTIONS));
    return 0;
  }
  const { source, options } = modelOf(values);
  const model = await loadModel(source, options);
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  try {
    const [prompt] = positionals;
    const run = model.session().generate(prompt, { ...samplingOf(values), signal: stop.signal });
    await write(run, prompt);
    return 0;
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    process.stdout.write('\n');
    say('[stopped]\n');
    return 130;
  } finally {
    model.dispose();
  }
}
