// The operations that load a model: files come from the network, the stored files or the page, and go into
// the engine.

import { isFireside } from '../shared/errors.js';
import { holdLock } from '../shared/locks.js';
import { Driver } from './drive.js';
import { Files } from './files.js';
import { must } from './requests.js';

/** @import { Args, FileNews, FileWanted, LoadingOperations } from '../shared/protocol.d.ts' */
/** @import { Estimator, Loader, SmallFiles } from '../shared/engine.d.ts' */
/** @import { ModelInfo } from '../shared/types.d.ts' */
/** @import { Worker } from './engine.js' */
/** @import { Store } from './model-store.js' */
/** @import { EngineModule, Handlers, StartEngine } from './types.d.ts' */

/** @typedef {{ post(news: FileNews): void }} Reporter */

export class Loading {
  #worker;
  #start;
  #store;
  /** @type {Files | undefined} */
  #files;
  /** @type {Loader | undefined} */
  #loader;
  /** @type {Estimator | undefined} */
  #estimator;
  /** Which engine this is, for `info()`. @type {Pick<ModelInfo, 'build' | 'threadsReason'> | undefined} */
  #choice;
  /** @type {(wasm: EngineModule) => void} */
  #arrived = () => {};
  /** The engine's code, once it is there. @type {Promise<EngineModule>} */
  #wasm = new Promise((resolve) => (this.#arrived = resolve));

  /** @param {Worker} worker @param {StartEngine} start @param {Store} [store] */
  constructor(worker, start, store) {
    this.#worker = worker;
    this.#start = start;
    this.#store = store;
  }

  /** @type {Handlers<keyof LoadingOperations>} */
  handlers = {
    openFiles: (options) => this.#openFiles(options),
    fetchList: ({ wanted, needed }, ticket) => must(this.#files).list(wanted, needed, reportTo(ticket)),
    listStored: ({ source }) => must(this.#files).names(source),
    markAbsent: ({ wanted }) => must(this.#files).markAbsent(wanted),
    readFile: ({ wanted }, ticket) => must(this.#files).read(wanted, reportTo(ticket)),
    readsOlderFiles: async ({ tokenizerConfig }) => (await this.#wasm).readsOlderFiles(tokenizerConfig),
    prefetch: ({ wanted }, ticket) => this.#prefetch(wanted, ticket),
    startEngine: (choice) => this.#startEngine(choice),
    beginModel: (args) => this.#beginModel(args),
    streamWeights: ({ wanted }, ticket) => this.#streamWeights(wanted, ticket),
    pushWeights: ({ chunk }) => must(this.#loader).push(chunk),
    endWeights: () => must(this.#loader).endFile(),
    finishModel: (args) => this.#finishModel(args),
    beginEstimate: (args) => this.#beginEstimate(args),
    estimateHead: (args) => this.#estimateHead(args),
    finishEstimate: () => this.#finishEstimate(),
  };

  /** @param {Args<'openFiles'>} options */
  async #openFiles({ alive, ...options }) {
    this.#files = new Files(this.#wasm, options, this.#store);
    // The page waits for this lock, to learn of the worker's end.
    this.#worker.lock = alive ?? '';
    if (alive) await holdLock(alive);
  }

  /** @param {FileWanted} wanted @param {Reporter} ticket */
  async #prefetch(wanted, ticket) {
    const files = must(this.#files);
    if (!(await files.keeps())) return;
    const opened = await files.open(wanted, reportTo(ticket));
    for await (const _ of opened?.chunks ?? []);
  }

  /** @param {Args<'startEngine'>} choice */
  async #startEngine(choice) {
    const engine = await this.#start(choice);
    this.#worker.engine = engine;
    this.#arrived(engine.wasm);
    this.#choice = { build: choice.build, threadsReason: choice.reason };
  }

  /** @param {Args<'beginModel'>} args */
  async #beginModel({ files: small, gguf, options }) {
    this.#loader?.free();
    this.#loader = undefined;
    try {
      const { Loader } = must(this.#worker.engine).wasm;
      this.#loader = gguf === undefined ? new Loader(/** @type {SmallFiles} */ (small), options) : Loader.gguf(gguf, small, options);
      return this.#loader.files();
    } catch (error) {
      // The files of a model that is too large for this device are right.
      if (isFireside(error) && error.code !== 'OUT_OF_MEMORY') await must(this.#files).forgetSmall();
      throw error;
    }
  }

  /** @param {FileWanted} wanted @param {Reporter} ticket */
  async #streamWeights(wanted, ticket) {
    const files = must(this.#files);
    const opened = await files.open(wanted, reportTo(ticket));
    if (!opened) return false;
    try {
      for await (const chunk of opened.chunks) must(this.#loader).push(chunk);
      must(this.#loader).endFile();
    } catch (error) {
      // A file that the engine refuses is not worth storing.
      if (isFireside(error) && error.code !== 'NETWORK' && error.code !== 'OUT_OF_MEMORY') await files.forget(wanted);
      throw error;
    }
    return true;
  }

  /** @param {Args<'finishModel'>} args @returns {Promise<ModelInfo>} */
  async #finishModel({ started, local }) {
    const loader = must(this.#loader);
    this.#loader = undefined; // finish() uses it up, whether it succeeds or not
    const model = loader.finish();
    this.#worker.model = model;
    this.#worker.driver = new Driver(model);
    const { threads, reason } = await must(this.#worker.engine).settle(model, started);
    const files = must(this.#files);
    const cacheReason = local ? 'local' : files.reason;
    const info = {
      ...model.info(),
      ...must(this.#choice),
      threads,
      ...(reason && { threadsReason: reason }),
      cache: local ? /** @type {const} */ ('none') : files.outcome,
      ...(cacheReason && { cacheReason }),
    };
    this.#worker.info = info;
    return info;
  }

  /** @param {Args<'beginEstimate'>} args */
  async #beginEstimate({ files, gguf, options }) {
    this.#estimator?.free();
    this.#estimator = undefined;
    const { Estimator } = await this.#wasm;
    this.#estimator = gguf === undefined ? new Estimator(/** @type {SmallFiles} */ (files), options) : Estimator.gguf(gguf, files, options);
    return this.#estimator.files();
  }

  /** @param {Args<'estimateHead'>} args */
  async #estimateHead(args) {
    const head = 'head' in args ? args.head : await must(this.#files).head(args.wanted, args.bytes);
    const need = head && must(this.#estimator).header(head);
    // More than was asked for may have come.
    return need && head && need <= head.length ? 0 : need;
  }

  #finishEstimate() {
    const estimator = must(this.#estimator);
    this.#estimator = undefined; // finish() uses it up
    return estimator.finish();
  }
}

/** Posts what is said of a file as a piece. @param {Reporter} ticket */
function reportTo(ticket) {
  return (/** @type {FileNews['phase']} */ phase, /** @type {number} */ bytes, /** @type {number | undefined} */ total) =>
    ticket.post({ phase, bytes, total });
}
