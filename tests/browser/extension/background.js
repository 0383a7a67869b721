// The extension's service worker. It cannot start workers, so it asks a page that can.

import { Session } from './lib/index.js';

globalThis.load = () => Session.load('models/chat/').then(() => ({}), ({ code, message }) => ({ code, message }));

globalThis.ask = async (way) => {
  await chrome.offscreen.createDocument({ url: 'popup.html', reasons: ['WORKERS'], justification: 'the engine runs in a worker' });
  for (let tries = 0; ; tries++) {
    const answer = await chrome.runtime.sendMessage(way).catch(() => undefined); // until the page listens
    if (answer || tries > 100) return answer;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
};
