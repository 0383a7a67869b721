// The story view: an opening, and the text that the model generates from it. The story survives a reload,
// and can continue past the model's window.

import { clearError, showFailure, wasStopped } from './banner.js';
import { SpeedChart } from './chart.js';
import { Controls } from './controls.js';
import { byId, grow, make, meansSend, stoke } from './dom.js';
import { Figures } from './figures.js';
import { t, translated } from './i18n.js';
import { Meter } from './meter.js';
import { ModelReturn } from './model-return.js';
import { isFromFiles } from './picker.js';
import { announce, clearSpeech, finishSpeech, speak } from './speech.js';
import { StoryKeeper } from './story-keeper.js';
import { tabStops } from './token-card.js';
import { ALTERNATIVES, TokenText } from './tokens.js';

const OPENINGS = [
  'Once upon a time, there was a little fox who',
  'One cold evening, Lily and her grandpa',
  'In a small house by the sea lived a cat named',
  'Tom found a tiny key under the big tree.',
];

export class Story {
  #seat;
  #keeper;
  #figures = new Figures(byId('story-figures'));
  #chart = new SpeedChart(byId('story-chart'));
  #controls = new Controls(byId('story-controls'));
  #opening = byId('opening', HTMLTextAreaElement);
  #fit = grow(this.#opening);
  #meter = new Meter(byId('story-meter'), 'story', () => this.#measure());
  /** @type {AbortController | undefined} */
  #running;
  /** The whole text so far, including the opening; '' before the first run. */
  #text = '';
  /** The generated part of the text, with its tokens. */
  #told = new TokenText(byId('told'));
  /** The model whose settings are shown. @type {import('../lib/index.js').Model | undefined} */
  #adopted;
  /** How the last run ended. @type {'stop' | 'length' | 'abort' | undefined} */
  #ended;
  /** Whether the model sees only a part of the text. */
  #shifted = false;
  #return;
  #recalled;

  /** @param {import('./seat.js').Seat} seat */
  constructor(seat) {
    this.#seat = seat;
    this.#keeper = new StoryKeeper(seat);
    byId('tell').addEventListener('click', () => this.#tell());
    byId('again').addEventListener('click', () => this.#tell());
    byId('continue').addEventListener('click', () => this.#run());
    byId('story-stop').addEventListener('click', () => this.stop());
    byId('fresh').addEventListener('click', () => this.#clear());
    byId('copy').addEventListener('click', () => this.#copy());
    this.#opening.addEventListener('input', () => this.#meter.typed());
    this.#opening.addEventListener('keydown', (event) => {
      if (!meansSend(event)) return;
      event.preventDefault();
      this.#tell();
    });
    byId('suggestions').append(
      ...OPENINGS.map((opening) => {
        const button = make(
          'button',
          { type: 'button', className: 'suggestion', lang: 'en' },
          opening.endsWith('.') ? opening : `${opening}…`,
        );
        button.addEventListener('click', () => {
          this.#opening.value = opening;
          this.#fit();
          this.#tell();
        });
        return make('li', {}, button);
      }),
    );
    translated(() => this.#render());
    this.#return = new ModelReturn(byId('story-return'), seat, () => this.#render());
    seat.addEventListener('change', () => this.#adopt());
    this.#recalled = this.#recall();
  }

  /**
   * Starts loading, so that the first word comes soon. A story of an earlier visit is continued by its own
   * model.
   */
  async enter() {
    this.#fit();
    await this.#recalled;
    const { key, name } = this.#keeper.model;
    if (!this.#adopted) await this.#return.want(this.#text ? key : '', name);
    this.#seat.ready().catch((error) => this.#fail(error));
    this.#render();
  }

  stop() {
    this.#running?.abort();
  }

  /** Deletes the story, including what is stored of it. */
  forget() {
    this.stop();
    this.#clear(false);
  }

  /** Tells a new story from the opening. */
  #tell() {
    const opening = this.#opening.value.trimEnd() || OPENINGS[0];
    this.#opening.value = opening;
    this.#return.settle(); // this story belongs to the model in use
    this.#begin(opening);
    this.#shifted = false;
    return this.#run();
  }

  /** @param {string} opening */
  #begin(opening) {
    this.#text = opening;
    byId('given').textContent = opening;
    byId('tale').classList.toggle('latin', /^[A-Za-z]/.test(opening)); // only alphabetic text gets a drop cap
    this.#told = new TokenText(byId('told'));
  }

  /** Continues the text, reusing the session's cache. Past the window, the model forgets the middle. */
  async #run() {
    if (this.#running) return;
    const controller = (this.#running = new AbortController());
    const asked = performance.now();
    const { signal } = controller;
    const options = { ...this.#controls.values(), logprobs: ALTERNATIVES, overflow: /** @type {const} */ ('shift'), signal };
    options.seed ??= crypto.getRandomValues(new Uint32Array(1))[0];
    const told = this.#told;
    this.#ended = undefined;
    clearError();
    clearSpeech();
    this.#meter.sent();
    this.#chart.begin();
    this.#render();
    announce(t('story.telling'));
    let [before, firstMs] = [this.#text, 0];
    const onOverflow = () => {
      this.#shifted = true;
      this.#render();
    };
    /** @type {import('../lib/index.js').Session | undefined} */
    let session;
    try {
      session = await this.#keeper.session(signal);
      session.addEventListener('contextoverflow', onOverflow);
      const run = session.generate(this.#text, options);
      for await (const piece of run) {
        this.#text += piece.text;
        told.push(piece.text, piece.logprobs);
        speak(piece.text);
        firstMs ||= performance.now() - asked;
        this.#chart.add(piece);
        const { completionTokens: tokens, tokensPerSecond } = piece;
        this.#figures.show({ firstMs, tokens, speed: tokens > 4 ? tokensPerSecond : undefined });
      }
      const { finishReason, usage, timings } = await run;
      this.#ended = finishReason;
      this.#chart.end({ usage, timings });
      this.#figures.show({ usage, timings, tokens: usage.completionTokens, speed: timings.decodeTokensPerSecond, seed: options.seed });
      finishSpeech(t(finishReason === 'stop' ? 'story.ended' : 'story.paused'));
    } catch (error) {
      this.#ended = 'abort';
      if (wasStopped(error)) finishSpeech(t('story.stopped'));
      else this.#fail(error);
      if (this.#text === before && told.empty) this.#text = '';
    } finally {
      told.end();
      session?.removeEventListener('contextoverflow', onOverflow);
      this.#running = undefined;
      this.#render();
    }
    this.#measured(session);
    this.#keep();
  }

  /** @param {import('../lib/index.js').Session} [session] */
  async #measured(session) {
    const stats = await session?.stats().catch(() => undefined);
    if (!stats) return;
    this.#figures.show({ stats });
    this.#meter.show(stats);
  }

  #keep() {
    if (!this.#text) return;
    this.#keeper.keep({ given: byId('given').textContent ?? '', text: this.#text, parts: this.#told.parts, ended: this.#ended, shifted: this.#shifted });
  }

  /** Shows the story of an earlier visit, if there is one and the visitor has not started another. */
  async #recall() {
    const story = await this.#keeper.recall();
    if (!story || this.#text) return;
    this.#begin(story.given);
    this.#opening.value = story.given;
    this.#text = story.text;
    this.#told.restore(story.parts);
    this.#ended = story.ended;
    this.#shifted = story.shifted;
    this.#render();
  }

  /** Tokens of the opening as typed. */
  async #measure() {
    const opening = this.#opening.value;
    if (!opening || this.#running) return 0;
    return (await (await this.#seat.ready()).tokenize(opening, { special: true })).length;
  }

  /** @param {any} error */
  #fail(error) {
    showFailure(error, this.#seat, this.#controls);
  }

  /** @param {boolean} [focus] */
  #clear(focus = true) {
    this.#text = '';
    this.#ended = undefined;
    this.#shifted = false;
    this.#return.settle();
    this.#opening.value = '';
    this.#told = new TokenText(byId('told'));
    this.#keeper.forget();
    clearSpeech();
    this.#meter.clear();
    this.#render();
    this.#fit();
    if (focus) this.#opening.focus();
  }

  async #copy() {
    await navigator.clipboard.writeText(this.#text);
    const button = byId('copy');
    button.textContent = t('story.copied');
    announce(t('story.copied'));
    setTimeout(() => (button.textContent = t('story.copy')), 2000);
  }

  #adopt() {
    const { model, choice } = this.#seat;
    if (!model || model === this.#adopted) return;
    this.#adopted = model;
    if (choice.key === this.#keeper.model.key || (this.#return.needsFiles && isFromFiles(choice))) this.#return.settle();
    const info = model.info();
    this.#controls.adopt(info.defaults);
    this.#figures.show({ info });
    this.#chart.prepare();
    for (const id of ['tale', 'opening']) byId(id).lang = choice.bundled ? 'en' : '';
    this.#keeper.session().then(
      (session) => this.#measured(session),
      () => {},
    );
  }

  #render() {
    const running = Boolean(this.#running);
    const told = Boolean(this.#text);
    const focused = document.activeElement?.id ?? '';
    byId('telling').hidden = !told;
    byId('telling').toggleAttribute('data-running', running);
    stoke();
    tabStops();
    this.#opening.hidden = byId('suggestions').hidden = told;
    byId('tell').hidden = told || running;
    byId('story-stop').hidden = !running;
    byId('continue').hidden = running || !told || this.#ended === 'stop' || this.#return.isAsking;
    for (const id of ['again', 'copy', 'fresh']) byId(id).hidden = running || !told;
    byId('story-shifted').hidden = !this.#shifted;
    const ornament = byId('ornament');
    ornament.hidden = running || this.#ended !== 'stop';
    ornament.textContent = t('story.theEnd');
    // When a pressed button disappears, the focus moves to the button in its place.
    if (['tell', 'again', 'continue', 'story-stop', 'opening'].includes(focused) && byId(focused).hidden) {
      byId(running ? 'story-stop' : told ? (this.#ended === 'stop' ? 'again' : 'continue') : 'tell').focus();
    }
  }
}
