// What a page adds to have LanguageModel in every browser.

import { install } from '/lib/integrations/prompt-api.js';

install({ source: '/chat/' });
