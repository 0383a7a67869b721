// The bar that names the model of the current view and shows the progress of its load.

import { byId } from './dom.js';
import { bytes, compact, t, translated } from './i18n.js';
import { announce } from './speech.js';

/** @typedef {import('./seat.js').Seat} Seat */

export class ModelBar {
  /** @type {Seat | undefined} */
  #seat;
  #render = () => this.#draw();
  #frame = 0;
  #wasLoading = false;

  constructor() {
    byId('cancel-load').addEventListener('click', () => {
      this.#seat?.cancel();
      this.#wasLoading = false;
      announce(t('model.cancelled'));
    });
    translated(this.#render);
  }

  /** @param {Seat} seat */
  show(seat) {
    this.#seat?.removeEventListener('change', this.#soon);
    this.#seat = seat;
    this.#wasLoading = false;
    seat.addEventListener('change', this.#soon);
    this.#draw();
  }

  /** Limits updates, because chunks arrive faster than the screen is drawn. */
  #soon = () => {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  };

  #draw() {
    const seat = this.#seat;
    if (!seat) return;
    const { progress, model, choice, coming } = seat;
    const info = model?.info();
    byId('model-name').textContent = (coming ?? choice).name();
    byId('model-facts').textContent =
      info && !progress ? t('model.facts', { parameters: compact(info.parameters), dtype: info.dtype, size: bytes(info.weightBytes) }) : '';
    byId('loading').hidden = !progress;
    if (this.#wasLoading && !progress && model) announce(t('model.ready', { name: choice.name() }));
    this.#wasLoading = Boolean(progress);
    if (!progress) return;
    const bar = byId('progress', HTMLProgressElement);
    const text = byId('progress-text');
    if (progress === 'starting') {
      bar.removeAttribute('value');
      text.textContent = t('model.starting');
      return;
    }
    const { phase, file, loaded, total } = progress;
    if (total === undefined) bar.removeAttribute('value');
    else bar.value = total ? loaded / total : 1;
    const amounts = { file, loaded: bytes(loaded), total: bytes(total ?? 0) };
    text.textContent = phase === 'build' ? t('model.building') : t(total === undefined ? 'model.loading' : 'model.loadingOf', amounts);
  }
}
