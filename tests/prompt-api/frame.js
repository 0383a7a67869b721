// For a frame in which nobody has clicked: makes a class and a session of its own, and tells its parent whether it could.

import { createLanguageModel } from '/lib/integrations/prompt-api.js';

const LanguageModel = createLanguageModel({ source: '/chat/' });
const session = await LanguageModel.create();
const answer = await session.prompt('Hello!');
Object.assign(globalThis, { made: { LanguageModel, session } });
parent.postMessage({ isActive: navigator.userActivation.hasBeenActive, answer });
