// The chat view: a transcript and a composer. The session keeps the history; a turn that is stopped or fails is not part of it.

import { clearError, showFailure, wasStopped } from './banner.js';
import { Controls } from './controls.js';
import { byId, grow, make, meansSend, stoke } from './dom.js';
import { Figures } from './figures.js';
import { number, t, translated } from './i18n.js';
import { announce, clearSpeech, finishSpeech, speak } from './speech.js';

/** @typedef {import('../lib/index.js').RunResult} RunResult */

const STARTERS = ['Hello! My name is Ada.', 'What is 3 + 4?', 'My favourite colour is green. Can you remember that?'];

export class Chat {
  #seat;
  #figures = new Figures(byId('chat-figures'), { reuse: true });
  #controls = new Controls(byId('chat-controls'));
  #message = byId('message', HTMLTextAreaElement);
  #fit = grow(this.#message);
  #transcript = byId('transcript');
  /** The small print of each answer, to be said again in another language. @type {Map<HTMLElement, RunResult>} */
  #notes = new Map();
  /** @type {AbortController | undefined} */
  #running;
  /** The turn under way: what was asked, and the answer so far. @type {HTMLElement[]} */
  #turns = [];
  /** The session that the transcript belongs to. @type {import('../lib/index.js').Session | undefined} */
  #adopted;

  /** @param {import('./seat.js').Seat} seat */
  constructor(seat) {
    this.#seat = seat;
    byId('composer').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#message.addEventListener('keydown', (event) => {
      if (!meansSend(event)) return;
      event.preventDefault();
      this.#send();
    });
    byId('chat-stop').addEventListener('click', () => this.stop());
    byId('new-chat').addEventListener('click', () => this.#restart());
    byId('starters').append(
      ...STARTERS.map((starter) => {
        const button = make('button', { type: 'button', className: 'suggestion', lang: 'en' }, starter);
        button.addEventListener('click', () => {
          this.#message.value = starter;
          this.#send();
        });
        return make('li', {}, button);
      }),
    );
    translated(() => {
      for (const [note, result] of this.#notes) describe(note, result);
      this.#render();
    });
    seat.addEventListener('change', () => this.#adopt());
  }

  enter() {
    this.#seat.ready().catch((error) => this.#fail(error));
    this.#fit();
  }

  stop() {
    this.#running?.abort();
  }

  async #send() {
    const question = this.#message.value.trim();
    if (this.#running || !question) return;
    const controller = (this.#running = new AbortController());
    const asked = performance.now();
    const options = this.#controls.values();
    options.seed ??= crypto.getRandomValues(new Uint32Array(1))[0];
    const answer = make('p', { className: 'says', lang: this.#seat.choice.bundled ? 'en' : '' });
    const note = make('p', { className: 'meta' });
    const turns = [
      make('li', { className: 'turn you' }, speaker('chat.you'), make('p', { className: 'says' }, question)),
      make('li', { className: 'turn model' }, speaker('chat.model'), answer, note),
    ];
    this.#turns = turns;
    turns[1].toggleAttribute('data-running', true);
    this.#transcript.append(...turns);
    this.#message.value = '';
    this.#fit();
    clearError();
    clearSpeech();
    this.#render();
    this.#follow(true);
    let firstMs = 0;
    try {
      const session = await this.#seat.ready(controller.signal);
      const run = session.chat(question, { ...options, signal: controller.signal });
      for await (const { text, completionTokens, tokensPerSecond } of run) {
        const following = this.#atEnd();
        answer.append(answer.firstChild ? text : text.trimStart());
        if (following) this.#follow();
        speak(text);
        firstMs ||= performance.now() - asked;
        this.#figures.show({ firstMs, tokens: completionTokens, speed: completionTokens > 4 ? tokensPerSecond : undefined });
      }
      const result = await run;
      this.#notes.set(note, result);
      describe(note, result);
      this.#figures.show({
        usage: result.usage,
        speed: result.timings.decodeTokensPerSecond,
        tokens: result.usage.completionTokens,
        stats: await session.stats(),
      });
      finishSpeech();
    } catch (error) {
      // The session has rolled the turn back: so does the page.
      const key = wasStopped(error) ? 'chat.stopped' : 'chat.failed';
      note.dataset.i18n = key;
      note.textContent = t(key);
      for (const turn of turns) turn.classList.add('void');
      if (!this.#message.value && turns[0].isConnected) this.#message.value = question;
      this.#fit();
      if (wasStopped(error)) finishSpeech(t('chat.stopped'));
      else this.#fail(error);
    } finally {
      answer.normalize();
      turns[1].removeAttribute('data-running');
      this.#running = undefined;
      this.#turns = [];
      this.#render();
      this.#follow();
    }
  }

  async #restart() {
    this.stop();
    this.#clear();
    clearError();
    clearSpeech();
    this.#message.focus();
    try {
      await this.#seat.session?.reset();
      this.#figures.show({
        usage: undefined,
        tokens: undefined,
        speed: undefined,
        firstMs: undefined,
        stats: await this.#seat.session?.stats(),
      });
      announce(t('chat.cleared'));
    } catch (error) {
      this.#fail(error);
    }
    this.#render();
  }

  /** @param {any} error */
  #fail(error) {
    showFailure(error, this.#seat, this.#controls);
  }

  #adopt() {
    const { session } = this.#seat;
    if (!session || session === this.#adopted) return;
    // Another session knows nothing of the conversation so far.
    if (this.#adopted) this.#clear(this.#turns);
    this.#adopted = session;
    const info = session.info();
    this.#controls.adopt(info.defaults);
    this.#figures.show({ info });
    session.stats().then(
      (stats) => this.#figures.show({ stats }),
      () => {},
    );
    this.#render();
  }

  /** @param {HTMLElement[]} [kept] */
  #clear(kept = []) {
    this.#transcript.replaceChildren(...kept);
    this.#notes.clear();
  }

  #atEnd() {
    const page = document.documentElement;
    return page.scrollHeight - page.scrollTop - page.clientHeight < 120;
  }

  #follow(always = false) {
    if (always || this.#atEnd()) scrollTo({ top: document.documentElement.scrollHeight });
  }

  #render() {
    const running = Boolean(this.#running);
    const empty = !this.#transcript.childElementCount;
    stoke();
    byId('send').hidden = running;
    byId('chat-stop').hidden = !running;
    byId('starters').hidden = byId('chat-lede').hidden = !empty;
    byId('new-chat').hidden = empty;
    const note = byId('chat-note');
    note.hidden = this.#seat.session?.info().chatTemplate !== 'chatml';
    note.textContent = t('chat.chatml');
  }
}

/** @param {string} key */
function speaker(key) {
  return make('p', { className: 'speaker', 'data-i18n': key }, t(key));
}

/** The small print under an answer. @param {HTMLElement} note @param {RunResult} result */
function describe(note, { finishReason, usage, timings }) {
  const { completionTokens, cachedTokens, promptTokens } = usage;
  const parts = [t('chat.meta', { tokens: number(completionTokens), speed: number(timings.decodeTokensPerSecond) })];
  if (cachedTokens) parts.push(t('chat.reused', { cached: number(cachedTokens), prompt: number(promptTokens) }));
  if (finishReason === 'length') parts.push(t('chat.cut'));
  note.textContent = parts.join(' · ');
}
