// The story view: an opening, and what the model makes of it.

import { clearError, showFailure, wasStopped } from './banner.js';
import { Controls } from './controls.js';
import { byId, grow, make, meansSend, stoke } from './dom.js';
import { Figures } from './figures.js';
import { t, translated } from './i18n.js';
import { announce, clearSpeech, finishSpeech, speak } from './speech.js';

const OPENINGS = [
  'Once upon a time, there was a little fox who',
  'One cold evening, Lily and her grandpa',
  'In a small house by the sea lived a cat named',
  'Tom found a tiny key under the big tree.',
];

export class Story {
  #seat;
  #figures = new Figures(byId('story-figures'));
  #controls = new Controls(byId('story-controls'));
  #opening = byId('opening', HTMLTextAreaElement);
  #fit = grow(this.#opening);
  /** @type {AbortController | undefined} */
  #running;
  /** Whole text told so far, the opening included; '' before the first telling. */
  #text = '';
  /** The session whose settings are shown. @type {import('../lib/index.js').Session | undefined} */
  #adopted;
  /** How the last telling ended. @type {'stop' | 'length' | 'abort' | undefined} */
  #ended;

  /** @param {import('./seat.js').Seat} seat */
  constructor(seat) {
    this.#seat = seat;
    byId('tell').addEventListener('click', () => this.#tell());
    byId('again').addEventListener('click', () => this.#tell());
    byId('continue').addEventListener('click', () => this.#goOn());
    byId('story-stop').addEventListener('click', () => this.stop());
    byId('fresh').addEventListener('click', () => this.#clear());
    byId('copy').addEventListener('click', () => this.#copy());
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
    seat.addEventListener('change', () => this.#adopt());
  }

  /** Begins to load, so that the first word is near when it is asked for. */
  enter() {
    this.#seat.ready().catch((error) => this.#fail(error));
    this.#fit();
  }

  stop() {
    this.#running?.abort();
  }

  /** Tells the opening's story, from its beginning. */
  #tell() {
    const opening = this.#opening.value.trimEnd() || OPENINGS[0];
    this.#opening.value = opening;
    this.#text = opening;
    byId('given').textContent = opening;
    byId('tale').classList.toggle('latin', /^[A-Za-z]/.test(opening)); // only an alphabet takes a drop cap
    byId('told').textContent = '';
    return this.#run();
  }

  /** Tells on from where the text stands; what was computed for it is still in the session's cache. */
  #goOn() {
    return this.#run();
  }

  async #run() {
    if (this.#running) return;
    const controller = (this.#running = new AbortController());
    const asked = performance.now();
    const options = this.#controls.values();
    options.seed ??= crypto.getRandomValues(new Uint32Array(1))[0];
    const told = byId('told');
    this.#ended = undefined;
    clearError();
    clearSpeech();
    this.#render();
    announce(t('story.telling'));
    let [before, firstMs] = [this.#text, 0];
    try {
      const session = await this.#seat.ready(controller.signal);
      const run = session.generate(this.#text, { ...options, signal: controller.signal });
      for await (const { text, completionTokens, tokensPerSecond } of run) {
        this.#text += text;
        told.append(text);
        speak(text);
        firstMs ||= performance.now() - asked;
        this.#figures.show({ firstMs, tokens: completionTokens, speed: completionTokens > 4 ? tokensPerSecond : undefined });
      }
      const { finishReason, usage, timings } = await run;
      this.#ended = finishReason;
      this.#figures.show({
        tokens: usage.completionTokens,
        speed: timings.decodeTokensPerSecond,
        seed: options.seed,
        stats: await session.stats(),
      });
      finishSpeech(t(finishReason === 'stop' ? 'story.ended' : 'story.paused'));
    } catch (error) {
      this.#ended = 'abort';
      if (wasStopped(error)) finishSpeech(t('story.stopped'));
      else this.#fail(error);
      if (this.#text === before && !told.textContent) this.#text = '';
    } finally {
      told.normalize();
      this.#running = undefined;
      this.#render();
    }
  }

  /** @param {any} error */
  #fail(error) {
    showFailure(error, this.#seat, this.#controls);
  }

  #clear() {
    this.#text = '';
    this.#ended = undefined;
    this.#opening.value = '';
    clearSpeech();
    this.#render();
    this.#fit();
    this.#opening.focus();
  }

  async #copy() {
    await navigator.clipboard.writeText(this.#text);
    const button = byId('copy');
    button.textContent = t('story.copied');
    announce(t('story.copied'));
    setTimeout(() => (button.textContent = t('story.copy')), 2000);
  }

  #adopt() {
    const { session, choice } = this.#seat;
    if (!session || session === this.#adopted) return;
    this.#adopted = session;
    const info = session.info();
    this.#controls.adopt(info.defaults);
    this.#figures.show({ info });
    for (const id of ['tale', 'opening']) byId(id).lang = choice.bundled ? 'en' : '';
    session.stats().then(
      (stats) => this.#figures.show({ stats }),
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
    this.#opening.hidden = byId('suggestions').hidden = told;
    byId('tell').hidden = told || running;
    byId('story-stop').hidden = !running;
    byId('continue').hidden = running || !told || this.#ended === 'stop';
    for (const id of ['again', 'copy', 'fresh']) byId(id).hidden = running || !told;
    const ornament = byId('ornament');
    ornament.hidden = running || this.#ended !== 'stop';
    ornament.textContent = t('story.theEnd');
    // A button that was pressed and is gone hands the focus to the one in its place.
    if (['tell', 'again', 'continue', 'story-stop', 'opening'].includes(focused) && byId(focused).hidden) {
      byId(running ? 'story-stop' : told ? (this.#ended === 'stop' ? 'again' : 'continue') : 'tell').focus();
    }
  }
}
