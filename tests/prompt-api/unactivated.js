// For a frame in which nobody has clicked: makes a session and tells its parent whether it could.

import { createLanguageModel } from '/lib/doors/prompt-api.js';

const session = await createLanguageModel({ source: '/chat/' }).create();
const answer = await session.prompt('Hello!');
parent.postMessage({ isActive: navigator.userActivation.hasBeenActive, answer });
