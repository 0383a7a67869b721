// The dialog of chats: to switch between them, to delete them, and to see their memory.

import { byId, make } from './dom.js';
import { bytes, number, t, translated } from './i18n.js';
import { choiceOf } from './picker.js';
import { announce } from './speech.js';
import { icon } from './turn.js';
import { keeps } from './vault.js';

/** @typedef {import('./conversations.js').Conversation} Conversation */
/** @typedef {import('./conversations.js').Conversations} Conversations */

export class ChatList {
  #dialog = byId('chats', HTMLDialogElement);
  #chats;
  #seat;
  #acts;

  /**
   * @param {Conversations} chats
   * @param {import('./seat.js').Seat} seat
   * @param {object} acts
   * @param {(chat: Conversation) => void} acts.open
   * @param {(chat: Conversation) => void} acts.remove
   * @param {() => void} acts.begin
   * @param {() => Promise<void>} acts.forget
   */
  constructor(chats, seat, acts) {
    this.#chats = chats;
    this.#seat = seat;
    this.#acts = acts;
    byId('open-chats').addEventListener('click', () => {
      this.#confirm(false);
      this.#render();
      this.#dialog.showModal();
    });
    byId('chats-close').addEventListener('click', () => this.#dialog.close());
    byId('chats-new').addEventListener('click', () => {
      this.#dialog.close();
      acts.begin();
    });
    this.#dialog.addEventListener('click', (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    byId('forget').addEventListener('click', () => this.#confirm(true));
    byId('forget-not').addEventListener('click', () => this.#confirm(false));
    byId('forget-yes').addEventListener('click', async () => {
      await acts.forget();
      this.#confirm(false);
      announce(t('chats.forgotten'));
    });
    chats.addEventListener('change', () => this.#render());
    translated(() => this.#render());
  }

  /** Asks for confirmation, because deleting cannot be undone. @param {boolean} asking */
  #confirm(asking) {
    const focused = document.activeElement;
    byId('forget').hidden = asking;
    byId('forget-sure').hidden = !asking;
    if (focused?.closest('.forget')) byId(asking ? 'forget-not' : 'forget').focus();
  }

  #render() {
    const { all, current } = this.#chats;
    byId('chats-count').textContent = all.length ? number(all.length) : '';
    if (!this.#dialog.open && !byId('chat-list').isConnected) return;
    byId('chats-none').hidden = all.length > 0;
    byId('chat-list').replaceChildren(...all.map((chat) => this.#item(chat, chat === current)));
    byId('chats-private').textContent = t(keeps() ? 'chats.private' : 'chats.notKept');
    this.#memory();
  }

  /**
   * @param {Conversation} chat
   * @param {boolean} inFront
   */
  #item(chat, inFront) {
    const parent = this.#chats.all.find(({ id }) => id === chat.parent);
    const date = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: 'medium', timeStyle: 'short' }).format(chat.updated);
    const count = Math.ceil(chat.turns.length / 2);
    const facts = [date, t(count === 1 ? 'chats.turn' : 'chats.turns', { count: number(count) }), t(chat.session ? 'chats.live' : 'chats.resting')];
    facts.push(choiceOf(chat.model)?.name() ?? chat.modelName);
    const open = make('button', { type: 'button', className: 'chat-open' }, make('strong', {}, chat.name), make('span', {}, facts.join(' · ')));
    // Branches begin with the same message, so the list also shows the latest one.
    const latest = chat.turns.length > 2 ? chat.turns.findLast(({ role }) => role === 'user')?.content : undefined;
    if (latest) open.append(make('span', { className: 'latest' }, t('chats.latest', { text: latest })));
    if (chat.parent) open.append(make('span', {}, parent ? t('chats.branchOf', { name: parent.name }) : t('chats.branch')));
    if (inFront) open.setAttribute('aria-current', 'true');
    open.addEventListener('click', () => {
      this.#dialog.close();
      this.#acts.open(chat);
    });
    const label = t('chats.delete', { name: chat.name });
    const remove = make('button', { type: 'button', className: 'quiet icon', 'aria-label': label, title: label }, icon('i-delete'));
    remove.addEventListener('click', () => {
      const place = this.#chats.all.indexOf(chat);
      this.#acts.remove(chat);
      announce(t('chats.deleted', { name: chat.name }));
      const buttons = /** @type {NodeListOf<HTMLElement>} */ (byId('chat-list').querySelectorAll('.chat-open'));
      (buttons[Math.min(place, buttons.length - 1)] ?? byId('chats-new')).focus();
    });
    return make('li', {}, open, remove);
  }

  /** What the sessions of this model hold in memory, as counted by the engine. */
  async #memory() {
    const stats = await this.#seat.model?.stats().catch(() => undefined);
    const line = byId('chats-memory');
    line.hidden = !stats;
    if (stats) line.textContent = t('chats.memory', { count: number(stats.sessions), kv: bytes(stats.kvBytes), wasm: bytes(stats.wasmBytes) });
  }
}
