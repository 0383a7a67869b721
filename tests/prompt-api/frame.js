// Runs in a frame in which nobody has clicked. Creates a class and a session there and reports the result
// to the parent.

import { createLanguageModel } from '/lib/integrations/prompt-api.js';

const LanguageModel = createLanguageModel({ source: '/chat/' });
const session = await LanguageModel.create();
const answer = await session.prompt('Hello!');
Object.assign(globalThis, { made: { LanguageModel, session } });
parent.postMessage({ isActive: navigator.userActivation.hasBeenActive, answer });
