// The chat view: a transcript and a composer. The session keeps the history. A turn that is stopped or
// fails is not part of it, and the page shows that.

import { clearError, showFailure, wasStopped } from './banner.js';
import { SpeedChart } from './chart.js';
import { ChatList } from './chat-list.js';
import { Controls } from './controls.js';
import { Conversations } from './conversations.js';
import { byId, grow, make, meansSend, remember, stoke } from './dom.js';
import { Figures } from './figures.js';
import { atEnd, follow } from './follow.js';
import { t, translated } from './i18n.js';
import { Meter } from './meter.js';
import { ModelReturn } from './model-return.js';
import { isFromFiles } from './picker.js';
import { announce, clearSpeech, finishSpeech, speak } from './speech.js';
import { tabStops } from './token-card.js';
import { ALTERNATIVES } from './tokens.js';
import { Answer, notice, Question } from './turn.js';

/** @import { GenerateOptions, Message, Run, Session } from '../lib/index.js' */
/** @import { Conversation, Turn } from './conversations.js' */

/**
 * An answer to generate.
 * @typedef {object} Ask
 * @property {number} keep how many turns stay; later ones are replaced
 * @property {string} [question] the user's message; absent to answer the last message again
 * @property {(session: Session, options: GenerateOptions) => Run} start
 */

const STARTERS = ['Hello! My name is Ada.', 'What is 3 + 4?', 'My favourite colour is green. Can you remember that?'];

export class Chat {
  #seat;
  #chats;
  #figures = new Figures(byId('chat-figures'), { reuse: true });
  #chart = new SpeedChart(byId('chat-chart'));
  #controls = new Controls(byId('chat-controls'));
  #message = byId('message', HTMLTextAreaElement);
  #fit = grow(this.#message);
  #transcript = byId('transcript');
  #meter = new Meter(byId('chat-meter'), 'chat', async () => {
    const text = this.#message.value.trim();
    return text && !this.#running ? (await this.#chats.session(this.#chats.current)).measureContextUsage(text) : 0;
  });
  /** The chat that is shown; #turns are its turns. @type {Conversation | undefined} */
  #shown;
  /** @type {(Question | Answer)[]} */
  #turns = [];
  /** @type {{ controller: AbortController, ended: Promise<void> } | undefined} */
  #running;
  /** The model whose settings are shown, and its key. @type {import('../lib/index.js').Model | undefined} */
  #adopted;
  #adoptedKey = '';
  #return;
  #recalled;
  #forgetRest;

  /**
   * @param {import('./seat.js').Seat} seat
   * @param {() => void} forgetRest deletes everything that is stored besides chats
   */
  constructor(seat, forgetRest) {
    this.#seat = seat;
    this.#forgetRest = forgetRest;
    this.#chats = new Conversations(seat);
    this.#return = new ModelReturn(byId('chat-return'), seat, () => this.#goOn());
    this.#chats.addEventListener('change', () => this.#show());
    new ChatList(this.#chats, seat, {
      open: (chat) => this.#turnTo(() => this.#chats.open(chat)),
      remove: (chat) => this.#chats.remove(chat),
      begin: () => this.#begin(),
      forget: () => this.#forget(),
    });
    byId('composer').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#message.addEventListener('keydown', (event) => {
      if (!meansSend(event)) return;
      event.preventDefault();
      this.#send();
    });
    this.#message.addEventListener('input', () => this.#meter.typed());
    byId('chat-stop').addEventListener('click', () => this.stop());
    byId('new-chat').addEventListener('click', () => this.#begin());
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
      for (const [index, turn] of this.#turns.entries()) {
        const { result } = this.#shown?.turns[index] ?? {};
        if (turn instanceof Answer && result) turn.describe(result);
      }
      this.#render();
    });
    seat.addEventListener('change', () => this.#adopt());
    this.#recalled = this.#chats.recall();
  }

  async enter() {
    this.#fit();
    await this.#recalled;
    await this.#wantModel();
    this.#seat.ready().catch((error) => this.#fail(error));
  }

  stop() {
    this.#running?.controller.abort();
  }

  #send() {
    const question = this.#message.value.trim();
    if (this.#running || !question || !this.#mayAnswer()) return;
    this.#message.value = '';
    this.#fit();
    this.#answer({ keep: this.#turns.length, question, start: (session, options) => session.chat(question, options) });
  }

  /**
   * Replaces a question and everything after it.
   * @param {Question} turn
   * @param {string} question
   */
  #edit(turn, question) {
    const keep = this.#turns.indexOf(turn);
    if (this.#running || keep < 0 || !this.#mayAnswer()) return;
    /** @type {Message[]} */
    const list = [...messages(this.#chats.current.turns.slice(0, keep)), { role: 'user', content: question }];
    this.#answer({ keep, question, start: (session, options) => session.chat(list, options) });
  }

  /** Answers the last question again. */
  #again() {
    if (this.#running || this.#turns.length === 0 || !this.#mayAnswer()) return;
    this.#answer({ keep: this.#turns.length - 1, start: (session, options) => session.regenerate(options) });
  }

  /** @param {Answer} turn */
  async #branch(turn) {
    const count = this.#turns.indexOf(turn) + 1;
    if (this.#running || count === 0 || !this.#mayAnswer()) return;
    try {
      await this.#chats.branch(this.#chats.current, count);
      announce(t('chat.branched'));
      this.#message.focus();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Loads the model of the current chat, or asks the visitor for it. */
  #wantModel() {
    const { turns, model, modelName } = this.#chats.current;
    return this.#return.want(turns.length ? model : '', modelName);
  }

  /** Whether it is clear which model answers. If not, reminds the visitor of the question. */
  #mayAnswer() {
    if (this.#return.isAsking) this.#return.remind();
    return !this.#return.isAsking;
  }

  /** Continues the current chat with the model in use. */
  async #goOn() {
    this.#return.settle();
    await this.#chats.goOn(this.#chats.current);
    await this.#open();
    this.#message.focus();
  }

  /** @param {Ask} ask */
  #answer(ask) {
    const controller = new AbortController();
    const ended = this.#run(ask, controller);
    this.#running = { controller, ended };
    this.#render();
    // The button that was pressed is now hidden, so the focus moves to Stop.
    if (ask.keep < this.#turns.length) byId('chat-stop').focus({ preventScroll: true });
    follow(true);
    return ended;
  }

  /**
   * @param {Ask} ask
   * @param {AbortController} controller
   */
  async #run({ keep, question, start }, { signal }) {
    await null; // #running is set
    const chat = this.#chats.current;
    const asked = performance.now();
    const options = { ...this.#controls.values(), logprobs: ALTERNATIVES, overflow: /** @type {const} */ ('drop-oldest'), signal };
    options.seed ??= crypto.getRandomValues(new Uint32Array(1))[0];
    const replaced = this.#turns.splice(keep);
    for (const { element } of replaced) element.remove();
    if (replaced.length) for (const stale of this.#transcript.querySelectorAll('.void, .notice:not(.horizon)')) stale.remove();
    const answer = this.#makeAnswer();
    const coming = question === undefined ? [answer] : [this.#makeQuestion(question), answer];
    this.#transcript.append(...coming.map(({ element }) => element));
    answer.running = true;
    chat.busy = true;
    clearError();
    clearSpeech();
    this.#meter.sent();
    this.#chart.begin();
    this.#render();
    follow(true);
    /** @type {Session | undefined} */
    let session;
    const onOverflow = (/** @type {Event} */ event) => {
      const { droppedMessages } = /** @type {CustomEvent} */ (event).detail;
      this.#drawHorizon(droppedMessages, coming[0].element);
    };
    let firstMs = 0;
    try {
      session = await this.#chats.session(chat, signal);
      session.addEventListener('contextoverflow', onOverflow);
      const run = start(session, options);
      for await (const piece of run) {
        const following = atEnd();
        answer.text.push(piece.text, piece.logprobs);
        if (following) follow(true);
        speak(piece.text);
        firstMs ||= performance.now() - asked;
        this.#chart.add(piece);
        const { completionTokens: tokens, tokensPerSecond } = piece;
        this.#figures.show({ firstMs, tokens, speed: tokens > 4 ? tokensPerSecond : undefined });
      }
      const { usage, timings, finishReason, message, text } = await run;
      const result = { usage, timings, finishReason };
      answer.text.end();
      answer.describe(result);
      this.#chart.end({ usage, timings });
      this.#figures.show({ usage, timings, tokens: usage.completionTokens, speed: timings.decodeTokensPerSecond });
      chat.turns.length = keep;
      if (question !== undefined) chat.turns.push({ role: 'user', content: question });
      chat.turns.push({ role: 'assistant', content: message?.content ?? text, by: this.#seat.choice.name(), parts: answer.text.parts, result });
      if (this.#shown === chat) this.#turns.push(...coming);
      this.#drawModels();
      finishSpeech();
      await this.#chats.turned(chat);
      this.#measured(await session.stats());
    } catch (error) {
      answer.text.end();
      if (this.#shown === chat && !this.#turns.includes(answer)) this.#rollBack(replaced, coming, question, wasStopped(error));
      else if (question && !chat.draft && !chat.turns.some(({ content }) => content === question)) chat.draft = question;
      if (wasStopped(error)) finishSpeech(t(replaced.length ? 'chat.keptStopped' : 'chat.stopped'));
      else this.#fail(error);
      if (/** @type {any} */ (error)?.code === 'OUT_OF_MEMORY') await this.#chats.restOthers(chat); // makes room for the next attempt
    } finally {
      session?.removeEventListener('contextoverflow', onOverflow);
      answer.running = false;
      chat.busy = false;
      this.#running = undefined;
      if (this.#shown === chat) this.#drawHorizon(); // redraws the line: the rolled-back turn dropped nothing
      this.#render();
      follow();
    }
  }

  /**
   * Rolls the page back to the history that the session has kept.
   * @param {(Question | Answer)[]} replaced
   * @param {(Question | Answer)[]} coming
   * @param {string | undefined} question
   * @param {boolean} stopped
   */
  #rollBack(replaced, coming, question, stopped) {
    if (replaced.length) {
      for (const { element } of coming) element.remove();
      this.#turns.push(...replaced);
      this.#transcript.append(...replaced.map(({ element }) => element), notice(stopped ? 'chat.keptStopped' : 'chat.keptFailed'));
      if (question !== undefined && replaced[0] instanceof Question) replaced[0].edit(question); // keeps what the visitor typed
      return;
    }
    const answer = /** @type {Answer} */ (coming.at(-1));
    answer.fail(stopped ? 'chat.stopped' : 'chat.failed');
    for (const { element } of coming) element.classList.add('void');
    if (!this.#message.value && question) this.#message.value = question;
    this.#fit();
  }

  /** @param {string} question */
  #makeQuestion(question) {
    /** @type {Question} */
    const turn = new Question(question, (edited) => this.#edit(turn, edited));
    return turn;
  }

  #makeAnswer() {
    /** @type {Answer} */
    const turn = new Answer(this.#seat.choice.bundled ? 'en' : '', { onAgain: () => this.#again(), onBranch: () => this.#branch(turn) });
    return turn;
  }

  /**
   * Draws the line above which the model remembers nothing.
   * @param {number} [dropped] how many messages the running answer has dropped
   * @param {HTMLElement} [before] where to put the line if no earlier turn is remembered
   */
  #drawHorizon(dropped = 0, before) {
    const chat = this.#chats.current;
    const forgotten = Math.min(Math.max(chat.turns.length - chat.history.length, 0) + dropped, this.#turns.length);
    this.#transcript.querySelector('.horizon')?.remove();
    for (const [index, { element }] of this.#turns.entries()) element.classList.toggle('forgotten', index < forgotten);
    if (!forgotten) return;
    const line = notice('chat.horizon', 'horizon');
    const first = this.#turns[forgotten]?.element ?? before;
    if (first) first.before(line);
    else this.#transcript.append(line);
    if (dropped) announce(t('chat.dropped'));
  }

  /** Draws a line where another model continues. */
  #drawModels() {
    for (const line of this.#transcript.querySelectorAll('.goes-on')) line.remove();
    let before = '';
    for (const [index, { by = before }] of this.#chats.current.turns.entries()) {
      const isOther = before && by !== before;
      before = by;
      const question = this.#turns[index - 1];
      if (isOther && question) question.element.before(notice('chat.goesOn', 'goes-on', { name: by }));
    }
  }

  /** Shows the current chat, if it is not shown already. */
  #show() {
    const chat = this.#chats.current;
    if (chat === this.#shown) return;
    if (this.#shown) this.#shown.draft ||= this.#message.value;
    this.#shown = chat;
    this.#return.settle();
    this.#turns = chat.turns.map(({ role, content, parts, result }) => {
      if (role === 'user') return this.#makeQuestion(content);
      const answer = this.#makeAnswer();
      answer.text.restore(parts ?? [content]);
      if (result) answer.describe(result);
      return answer;
    });
    this.#transcript.replaceChildren(...this.#turns.map(({ element }) => element));
    this.#message.value = chat.draft;
    chat.draft = '';
    this.#fit();
    clearSpeech();
    tabStops();
    this.#drawModels();
    this.#drawHorizon();
    this.#figures.show({ usage: undefined, timings: undefined, tokens: undefined, speed: undefined, firstMs: undefined });
    this.#meter.sent();
    this.#open();
    this.#render();
    follow(true);
  }

  /** Opens the session of the current chat in advance, if a model is loaded. */
  async #open() {
    const chat = this.#chats.current;
    if (!this.#seat.model) return;
    await this.#wantModel();
    if (this.#return.isAsking || this.#seat.coming) return;
    try {
      const session = await this.#chats.session(chat);
      if (chat === this.#chats.current) this.#measured(await session.stats());
    } catch {
      // The error is shown when the visitor sends a message.
    }
  }

  /** Stops the running answer, then calls `turn`. @param {() => void} turn */
  async #turnTo(turn) {
    this.stop();
    await this.#running?.ended;
    clearError();
    turn();
  }

  async #begin() {
    await this.#turnTo(() => this.#chats.current.turns.length && this.#chats.begin());
    for (const stale of this.#transcript.querySelectorAll('.void, .notice')) stale.remove();
    announce(t('chat.cleared'));
    this.#render();
    this.#message.focus();
  }

  async #forget() {
    this.stop();
    await this.#running?.ended;
    this.#message.value = '';
    await this.#chats.removeAll();
    remember('chat', '');
    this.#forgetRest();
  }

  /** @param {import('../lib/index.js').SessionStats} stats */
  #measured(stats) {
    this.#figures.show({ stats });
    this.#meter.show(stats);
  }

  /** @param {any} error */
  #fail(error) {
    showFailure(error, this.#seat, this.#controls);
  }

  #adopt() {
    const { model, choice } = this.#seat;
    if (!model || model === this.#adopted) return;
    this.#chats.letGo();
    const other = this.#adopted && this.#adoptedKey !== choice.key;
    this.#adopted = model;
    this.#adoptedKey = choice.key;
    const info = model.info();
    this.#controls.adopt(info.defaults);
    this.#figures.show({ info });
    this.#chart.prepare();
    const chat = this.#chats.current;
    // The visitor has chosen its files again, though perhaps different ones.
    if (this.#return.needsFiles && isFromFiles(choice)) this.#goOn();
    // A chat with another model stays as it is, and a new chat begins.
    else if (other && chat.turns.length && chat.model !== choice.key) this.#chats.begin();
    else this.#open();
    this.#render();
  }

  #render() {
    const running = Boolean(this.#running);
    const empty = !this.#transcript.childElementCount;
    const handsOn = !running && document.activeElement === byId('chat-stop');
    stoke();
    this.#transcript.toggleAttribute('data-waiting', running);
    byId('send').hidden = running;
    byId('chat-stop').hidden = !running;
    byId('starters').hidden = byId('chat-lede').hidden = !empty;
    byId('new-chat').hidden = empty;
    const note = byId('chat-note');
    note.hidden = this.#seat.model?.info().chatTemplate !== 'chatml';
    note.textContent = t('chat.chatml');
    tabStops();
    if (handsOn) this.#turns.at(-1)?.focus();
  }
}

/** @param {Turn[]} turns @returns {Message[]} */
function messages(turns) {
  return turns.map(({ role, content }) => ({ role, content }));
}
