// The dialog for choosing a model: a bundled one, the address of a folder or a GGUF file, or files from this
// computer through a file dialog or drag and drop.

import { byId, make } from './dom.js';
import { t, translated } from './i18n.js';
import { listKept } from './kept.js';

/** @typedef {import('./seat.js').Choice} Choice */

/** @type {(Choice & { about: () => string })[]} */
export const BUNDLED = [
  { key: 'story', name: () => t('model.story'), about: () => t('model.storyAbout'), source: at('models/story/'), bundled: true },
  { key: 'chat', name: () => t('model.chat'), about: () => t('model.chatAbout'), source: at('models/chat/'), bundled: true },
];

/** The prefix of keys of models from files, which are not available after a reload. */
const DISK = 'disk:';

/**
 * The storage formats that a visitor can choose; they end the model's key.
 * @type {NonNullable<Choice['dtype']>[]}
 */
const DTYPES = ['f16', 'bf16', 'f32', 'q8', 'q4'];

/** Models from files chosen on this visit. @type {Map<string, Choice>} */
const fromFiles = new Map();

/**
 * The choice for a key; undefined for files of an earlier visit, which only the visitor can choose again.
 * @param {string} key
 * @returns {Choice | undefined}
 */
export function choiceOf(key) {
  const known = BUNDLED.find((choice) => choice.key === key) ?? fromFiles.get(key);
  if (known || isFromFiles({ key })) return known;
  const dtype = DTYPES.find((dtype) => key.endsWith(` ${dtype}`));
  const address = dtype ? key.slice(0, -dtype.length - 1) : key;
  return { ...addressed(address), key, dtype };
}

/** @param {string} address @returns {Choice} */
function addressed(address) {
  return { key: address, name: () => shortName(address), source: address };
}

/** Opens the browser's dialog for the files or the folder with this key. @param {string} key */
export function chooseAgain(key) {
  byId(key.startsWith(`${DISK}/`) ? 'files' : 'folder').click();
}

/** Whether a model comes from files of this computer. @param {Pick<Choice, 'key'>} choice */
export const isFromFiles = ({ key }) => key.startsWith(DISK);

/** @param {string} folder relative to the page */
function at(folder) {
  return new URL(folder, document.baseURI).href;
}

export class Picker {
  #dialog = byId('picker', HTMLDialogElement);
  #onChoose;
  #current;

  /**
   * @param {(choice: Choice) => void} onChoose
   * @param {() => Choice} current what the current view uses
   */
  constructor(onChoose, current) {
    this.#onChoose = onChoose;
    this.#current = current;
    byId('pick').addEventListener('click', () => this.open());
    byId('picker-close').addEventListener('click', () => this.#dialog.close());
    this.#dialog.addEventListener('click', (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    byId('address-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const address = byId('address', HTMLInputElement).value.trim();
      if (address) this.#choose(addressed(address));
    });
    this.#startFiles();
    this.#startDrop();
    translated(() => this.#listBundled());
  }

  open() {
    this.#listBundled();
    listKept((address) => BUNDLED.find(({ source }) => source === address)?.name() ?? shortName(address));
    this.#dialog.showModal();
  }

  #listBundled() {
    const current = this.#current().key;
    byId('choices').replaceChildren(
      ...BUNDLED.map((choice) => {
        const used = choice.key === current;
        const button = make(
          'button',
          { type: 'button', className: 'choice', 'aria-pressed': used },
          make('strong', {}, choice.name()),
          make('span', {}, choice.about()),
          ...(used ? [make('em', {}, t('picker.inUse'))] : []),
        );
        button.addEventListener('click', () => this.#choose(choice, false));
        return make('li', {}, button);
      }),
    );
  }

  #startFiles() {
    for (const [buttonId, inputId] of [
      ['choose-files', 'files'],
      ['choose-folder', 'folder'],
    ]) {
      const input = byId(inputId, HTMLInputElement);
      byId(buttonId).addEventListener('click', () => input.click());
      input.addEventListener('change', () => {
        this.#chooseFiles([...(input.files ?? [])]);
        input.value = '';
      });
    }
  }

  /** The whole page accepts drops and shows a sign while files hover over it. */
  #startDrop() {
    const sign = byId('dropping');
    let depth = 0;
    const carriesFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes('Files');
    addEventListener('dragenter', (event) => {
      if (!carriesFiles(event)) return;
      depth += 1;
      sign.hidden = this.#dialog.open;
      byId('drop').classList.add('over');
    });
    addEventListener('dragleave', (event) => {
      if (carriesFiles(event) && --depth <= 0) this.#endDrag();
    });
    addEventListener('dragover', (event) => {
      if (carriesFiles(event)) event.preventDefault();
    });
    addEventListener('drop', async (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      depth = 0;
      this.#endDrag();
      this.#chooseFiles(await droppedFiles(event.dataTransfer));
    });
  }

  #endDrag() {
    byId('dropping').hidden = true;
    byId('drop').classList.remove('over');
  }

  /** @param {File[]} files */
  #chooseFiles(files) {
    if (!files.length) return;
    const folder = files.find((file) => file.webkitRelativePath)?.webkitRelativePath.split('/')[0];
    const weights = files.find((file) => isWeights(file.name)) ?? files[0];
    const name = folder ?? (GGUF.test(weights.name) ? shortName(weights.name) : undefined);
    const key = `${DISK}${folder ?? ''}/${weights.size}/${weights.lastModified}/${files.length}`;
    this.#choose({ key, name: () => name ?? t('picker.fromDisk'), source: files });
  }

  /**
   * @param {Choice} choice
   * @param {boolean} [stored] whether the storage format applies to it
   */
  #choose(choice, stored = true) {
    const dtype = /** @type {Choice['dtype']} */ (byId('dtype', HTMLSelectElement).value);
    this.#dialog.close();
    const chosen = stored && dtype !== 'auto' ? { ...choice, key: `${choice.key} ${dtype}`, dtype } : choice;
    if (isFromFiles(chosen)) fromFiles.set(chosen.key, chosen);
    this.#onChoose(chosen);
  }
}

/** Whether a file holds weights. @param {string} file */
export const isWeights = (file) => /\.(safetensors|gguf)$/i.test(file);

const GGUF = /\.gguf$/i;

/**
 * The last meaningful part of an address. A GGUF file that was chosen by a word of its name is known by
 * `folder/#WORD`.
 * @param {string} address
 * @returns {string}
 */
function shortName(address) {
  const [, word] = /\/#([\w.-]+)$/.exec(address) ?? [];
  if (word) return `${shortName(address.replace(/#.*/, ''))}:${word}`;
  const parts = address
    .replace(/[?#].*$/, '')
    .replace(/\/+$/, '')
    .split('/');
  const file = parts.at(-1) ?? '';
  if (GGUF.test(file)) return file.replace(GGUF, '') || file;
  const hub = parts.indexOf('resolve');
  return (hub > 0 ? parts[hub - 1] : parts.at(-1)) || address;
}

/**
 * The dropped files, and the files directly inside dropped folders.
 * @param {DataTransfer | null} data
 * @returns {Promise<File[]>}
 */
async function droppedFiles(data) {
  // Take the entries at once: the items are gone after the first await.
  const entries = [...(data?.items ?? [])]
    .map((item) => item.webkitGetAsEntry?.())
    .filter((entry) => entry !== null && entry !== undefined);
  if (!entries.length) return [...(data?.files ?? [])];
  const inside = await Promise.all(
    entries.map((entry) => (entry.isDirectory ? listFolder(/** @type {FileSystemDirectoryEntry} */ (entry)) : [entry])),
  );
  const files = inside.flat().filter((entry) => entry.isFile);
  return Promise.all(
    files.map((entry) => new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject))),
  );
}

/** @param {FileSystemDirectoryEntry} folder @returns {Promise<FileSystemEntry[]>} */
async function listFolder(folder) {
  const reader = folder.createReader();
  /** @type {FileSystemEntry[]} */
  const all = [];
  for (;;) {
    // A reader returns at most 100 entries at a time.
    const some = await new Promise((/** @type {(entries: FileSystemEntry[]) => void} */ resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (!some.length) return all;
    all.push(...some);
  }
}
