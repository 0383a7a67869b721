// A page of the extension. It loads the extension's model in every way, and answers the service worker.

import { Session } from './lib/index.js';

const FOLDER = 'models/chat/';
const url = (name) => new URL(FOLDER + name, location.href);
const files = async (get) => ({
  config: await get('config.json'),
  tokenizer: await get('tokenizer.json'),
  tokenizerConfig: await get('tokenizer_config.json'),
  weights: await get('model.safetensors'),
});

const WAYS = {
  folder: () => FOLDER,
  getURL: () => globalThis.chrome?.runtime?.getURL?.(FOLDER) ?? url('').href,
  responses: () => files((name) => fetch(FOLDER + name)),
  urls: () => files(url),
};

globalThis.ask = async (way) => {
  try {
    const session = await Session.load(await WAYS[way](), { threads: 1 });
    const { text } = await session.chat('Hello!', { temperature: 0, repetitionPenalty: 1, maxTokens: 40 });
    const { cacheReason } = session.info();
    session.dispose();
    return { text, cacheReason };
  } catch (error) {
    return { code: error.code ?? error.name, message: error.message };
  }
};

globalThis.chrome?.runtime?.onMessage?.addListener((way, _sender, answer) => {
  globalThis.ask(way).then(answer);
  return true; // it responds later
});
