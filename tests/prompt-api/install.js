// What a page adds to have a LanguageModel in every browser.

import { install } from '/lib/doors/prompt-api.js';

install({ source: '/chat/' });
