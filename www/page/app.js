// The page: two views, each with its model, and what they share: the model bar, the picker, the banner, the
// language and the colour theme.

import { isolate } from '../lib/isolation.js';
import { clearError, wasStopped, showError, startBanner } from './banner.js';
import { Chat } from './chat.js';
import { byId, recall, remember } from './dom.js';
import { startLanguage, translated } from './i18n.js';
import { ModelBar } from './model-bar.js';
import { BUNDLED, Picker } from './picker.js';
import { Seat } from './seat.js';
import { Story } from './story.js';
import { startTokens } from './token-card.js';

startLanguage();
startBanner();
startTheme();
startTokens();
await isolate();

const seats = { story: new Seat(BUNDLED[0]), chat: new Seat(BUNDLED[1]) };
const story = new Story(seats.story);
const views = { story, chat: new Chat(seats.chat, () => story.forget()) };
const bar = new ModelBar();

/** The view that is shown. @type {keyof typeof views} */
let front = 'story';

new Picker(
  (choice) => {
    clearError();
    seats[front].use(choice).catch((error) => {
      if (!wasStopped(error)) showError(error);
    });
  },
  () => seats[front].choice,
);

addEventListener('hashchange', () => turnTo(location.hash));
addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !document.querySelector('dialog[open]')) views[front].stop();
});
translated(() => bar.show(seats[front]));
turnTo(location.hash);

/** @param {string} hash */
function turnTo(hash) {
  front = hash === '#chat' ? 'chat' : 'story';
  for (const name of /** @type {const} */ (['story', 'chat'])) {
    byId(`view-${name}`).hidden = name !== front;
    const link = byId(`to-${name}`);
    if (name === front) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.documentElement.dataset.view = front;
  bar.show(seats[front]);
  clearError();
  views[front].enter();
}

/** The theme toggle. Until the visitor uses it, the page follows the system. */
function startTheme() {
  const root = document.documentElement;
  const button = byId('theme');
  const system = matchMedia('(prefers-color-scheme: dark)');
  /** @param {boolean} dark */
  const turn = (dark) => {
    root.dataset.theme = dark ? 'dark' : 'light';
    button.setAttribute('aria-pressed', String(dark));
    const paper = getComputedStyle(root).getPropertyValue('--paper');
    document.querySelector('meta[name="theme-color"]')?.setAttribute('content', paper);
  };
  const follow = () => turn(system.matches);
  if (!recall('theme')) system.addEventListener('change', follow);
  button.addEventListener('click', () => {
    system.removeEventListener('change', follow);
    turn(root.dataset.theme !== 'dark');
    remember('theme', String(root.dataset.theme));
  });
  turn(root.dataset.theme === 'dark');
}
