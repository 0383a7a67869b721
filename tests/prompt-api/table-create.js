// The rows about creating a session: whether one is available, its options, its cost.

import { equal, ok, rejects, throws } from './assert.js';

/** @import { Row } from './table.js' */

const SYSTEM = { role: 'system', content: 'You are Ember.' };
const USER = { role: 'user', content: 'Hello!' };

/** A monitor and the events that it received. */
function monitor() {
  /** @type {any[]} */
  const events = [];
  return { events, monitor: (/** @type {EventTarget} */ target) => target.addEventListener('downloadprogress', (event) => events.push(event)) };
}

/** @type {Row[]} */
const availability = [
  {
    behaviour: 'before anything is downloaded, `availability()` is "downloadable"',
    source: 'Explainer, Testing available options before creation',
    test: async ({ make, at }) => equal(await make({ source: at('fresh') }).availability(), 'downloadable'),
  },
  {
    behaviour: 'while a session is being created, `availability()` is "downloading"; afterwards it is "available"',
    source: 'Explainer, Testing available options before creation',
    async test({ make, at }) {
      const LanguageModel = make({ source: at('fresh') });
      const session = LanguageModel.create();
      equal(await LanguageModel.availability(), 'downloading');
      (await session).destroy();
      equal(await LanguageModel.availability(), 'available');
    },
  },
  {
    behaviour: 'if the files are stored from an earlier visit, `availability()` is "available"',
    source: 'Explainer, Testing available options before creation',
    only: 'browser',
    test: async ({ make, at }) => equal(await make({ source: at('fresh') }).availability(), 'available'),
  },
  {
    behaviour: 'if the model does not fit into memory, `availability()` is "unavailable", and `create()` rejects with NotSupportedError',
    source: 'Specification, language model non-options availability; our `memoryBytesMax`',
    async test({ make, at }) {
      const LanguageModel = make({ source: at('chat'), memoryBytesMax: 1000 });
      equal(await LanguageModel.availability(), 'unavailable');
      equal((await rejects(() => LanguageModel.create(), 'NotSupportedError')).cause.code, 'OUT_OF_MEMORY');
    },
  },
  {
    behaviour: 'if there is no such model, `availability()` is "unavailable", and `create()` rejects with NetworkError',
    source: 'Specification, language model non-options availability; Explainer, Download progress',
    async test({ make, at }) {
      const LanguageModel = make({ source: at('missing') });
      equal(await LanguageModel.availability(), 'unavailable');
      const error = await rejects(() => LanguageModel.create(), 'NetworkError');
      equal(error.cause.code, 'NETWORK');
    },
  },
  {
    behaviour: 'if the server cannot be reached, `availability()` rejects with UnknownError, because the next call may succeed',
    source: 'Shared infrastructure, compute AI model availability',
    only: 'fake',
    test: async ({ make, at }) => void (await rejects(() => make({ source: at('offline') }).availability(), 'UnknownError')),
  },
  {
    behaviour: 'images, audio and tools, whether expected or given, are "unavailable", and `create()` rejects with NotSupportedError',
    source: 'Specification, language model content type availability',
    async test({ LanguageModel }) {
      const tools = [{ name: 'x', description: 'x', inputSchema: {}, execute: async () => '' }];
      for (const options of [{ expectedInputs: [{ type: 'image' }] }, { expectedOutputs: [{ type: 'audio' }] }, { expectedInputs: [{ type: 'tool-response' }] }, { tools }]) {
        equal(await LanguageModel.availability(options), 'unavailable');
        await rejects(() => LanguageModel.create(options), 'NotSupportedError');
      }
      equal(await LanguageModel.availability({ expectedInputs: [{ type: 'text' }], expectedOutputs: [{ type: 'text' }], tools: [] }), 'available');
    },
  },
  {
    behaviour: 'any well-formed language tag is accepted; a malformed one rejects with RangeError',
    source: 'Specification, validate and canonicalize language model options; WPT, language-model-availability',
    differs: 'a model\'s files do not list its languages, so no language is refused',
    async test({ LanguageModel }) {
      const expecting = (/** @type {unknown} */ languages) => ({ expectedInputs: [{ type: 'text', languages }] });
      equal(await LanguageModel.availability(expecting(['EN', 'ja', 'sr-Cyrl'])), 'available');
      await rejects(() => LanguageModel.availability(expecting(['en-abc-invalid'])), 'RangeError');
      await rejects(() => LanguageModel.create(expecting(['en-abc-invalid'])), 'RangeError');
      await rejects(() => LanguageModel.availability(expecting('en')), 'TypeError');
    },
  },
  {
    behaviour: 'options of a wrong type reject with TypeError; unknown members are ignored',
    source: 'Web IDL, dictionaries and enumerations',
    async test({ LanguageModel }) {
      const modes = [{ samplingMode: 'wild' }, { samplingMode: 'toString' }, { samplingMode: '__proto__' }, { samplingMode: null }];
      const numbers = [{ temperature: 1n, topK: 3 }, { temperature: 1, topK: Symbol('3') }];
      for (const options of [5, ...modes, ...numbers, { expectedInputs: [{ type: 'smell' }] }, { expectedInputs: [{}] }, { expectedInputs: {} }]) {
        await rejects(() => LanguageModel.availability(options), 'TypeError');
        await rejects(() => LanguageModel.create(options), 'TypeError');
      }
      for (const options of [{ signal: {} }, { monitor: 'x' }, { initialPrompts: 'x' }, { initialPrompts: [{ role: 'user' }] }]) {
        await rejects(() => LanguageModel.create(options), 'TypeError');
      }
      equal(await LanguageModel.availability({ language: 'en' }), 'available');
    },
  },
];

/** What frame.js reports and creates in a frame with this `allow`. @returns {Promise<any>} */
async function inFrame(allow = '') {
  const frame = Object.assign(document.createElement('iframe'), { allow });
  // Firefox replaces the first document of a frame when it has loaded, and what was added to it is lost.
  const loaded = new Promise((resolve) => frame.addEventListener('load', resolve, { once: true }));
  document.body.append(frame);
  await loaded;
  const told = new Promise((resolve) => addEventListener('message', ({ data }) => resolve(data), { once: true }));
  const script = Object.assign(document.createElement('script'), { type: 'module', src: '/prompt-api/frame.js' });
  /** @type {Document} */ (frame.contentDocument).head.append(script);
  return { ...(await told), frame, made: Reflect.get(/** @type {Window} */ (frame.contentWindow), 'made') };
}

/** @type {Row[]} */
const create = [
  {
    behaviour: '`create()` resolves with a LanguageModel; `new LanguageModel()` throws',
    source: 'Specification, The API',
    async test({ LanguageModel }) {
      const session = await LanguageModel.create();
      ok(session instanceof LanguageModel && session instanceof EventTarget, 'an instance');
      throws(() => new LanguageModel(), 'TypeError');
      equal(typeof session.contextUsage, 'number');
      ok(session.contextWindow > 0, 'there is a window');
      equal(session.contextUsage, 0);
      session.destroy();
    },
  },
  {
    behaviour: '`create()` needs no user activation',
    source: 'Shared infrastructure, create an AI model object',
    differs: 'the specification requires sticky activation before a download; here the page has chosen the model itself',
    only: 'browser',
    async test() {
      // The browser driver counts as a user of the page itself, so the test uses a frame.
      const { frame, isActive, answer } = await inFrame();
      frame.remove();
      equal(isActive, false);
      ok(answer.length > 0, 'an answer');
    },
  },
  {
    behaviour: 'a frame can create its own class, whatever its permissions policy',
    source: 'Specification, Permissions policy; WPT, language-model-iframe',
    differs: 'a browser refuses frames of other origins without `allow="language-model"`; here the frame loads its own choice of model',
    only: 'browser',
    async test() {
      const { frame, answer } = await inFrame("language-model 'none'");
      frame.remove();
      ok(answer.length > 0, 'an answer');
    },
  },
  {
    behaviour: 'in a frame that was removed from its page, `availability()` and `create()` reject with InvalidStateError, and `promptStreaming()` throws it',
    source: 'WPT, language-model-from-detached-iframe',
    only: 'browser',
    async test() {
      const { frame, made } = await inFrame();
      frame.remove();
      // Code of the frame no longer runs, not even `await`. Only callbacks that this page passes to `then`
      // do.
      for (const promise of [made.LanguageModel.availability(), made.LanguageModel.create()]) {
        await rejects(() => new Promise((resolve, reject) => promise.then(resolve, reject)), 'InvalidStateError');
      }
      throws(() => made.session.promptStreaming('x'), 'InvalidStateError');
    },
  },
  {
    behaviour: 'the monitor receives 0, then growing multiples of 2^-16, then 1, and nothing after `create()` has resolved',
    source: 'Explainer, Download progress; WPT, resources/util.js testMonitor',
    async test({ make, LanguageModel, at }) {
      for (const Class of [make({ source: at('chat') }), LanguageModel]) {
        const meter = monitor();
        (await Class.create({ monitor: meter.monitor })).destroy();
        const loaded = meter.events.map((event) => event.loaded);
        equal([loaded[0], loaded.at(-1)], [0, 1]);
        ok(loaded.every((value, index) => index === 0 || value > loaded[index - 1]), `growing: ${loaded}`);
        ok(meter.events.every((event) => event.lengthComputable && event.total === 1 && (event.loaded * 65_536) % 1 === 0), 'of the shape of ProgressEvent');
        const { length } = meter.events;
        await new Promise((resolve) => setTimeout(resolve, 10));
        equal(meter.events.length, length);
      }
    },
  },
  {
    behaviour: '`ondownloadprogress` works like a listener; `create()` rejects with what the monitor throws',
    source: 'Shared infrastructure, CreateMonitor; WPT, monitor-callback-exception',
    async test({ LanguageModel }) {
      /** @type {number[]} */
      const seen = [];
      const session = await LanguageModel.create({
        monitor: (/** @type {any} */ target) => (target.ondownloadprogress = (/** @type {any} */ event) => seen.push(event.loaded)),
      });
      session.destroy();
      equal(seen, [0, 1]);
      const error = new Error('of the monitor');
      await rejects(() => LanguageModel.create({ monitor: () => { throw error; } }), error);
    },
  },
  {
    behaviour: 'an aborted `create()` rejects with the reason, before, at the start and at the end of the download, and reports nothing afterwards',
    source: 'Explainer, Session destruction; WPT, resources/util.js testCreateMonitorWithAbort',
    async test({ make, at, LanguageModel }) {
      const error = new Error('changed my mind');
      await rejects(() => LanguageModel.create({ signal: AbortSignal.abort(error) }), error);
      await rejects(() => LanguageModel.create({ signal: AbortSignal.abort() }), 'AbortError');
      for (const moment of [0, 1]) {
        const Class = make({ source: at('chat') });
        const controller = new AbortController();
        /** @type {number[]} */
        const after = [];
        const told = (/** @type {any} */ { loaded }) => {
          if (controller.signal.aborted) after.push(loaded);
          if (loaded === moment) controller.abort(error);
        };
        await rejects(() => Class.create({ signal: controller.signal, monitor: (/** @type {any} */ target) => target.addEventListener('downloadprogress', told) }), error);
        equal(after, []);
        (await Class.create()).destroy();
      }
    },
  },
  {
    behaviour: 'all sessions of a class share one load; a caller that gives up does not stop it for the others',
    source: 'ours',
    async test({ make, at }) {
      const LanguageModel = make({ source: at('chat') });
      const controller = new AbortController();
      const sessions = [LanguageModel.create({ signal: controller.signal }), LanguageModel.create()];
      controller.abort();
      await rejects(() => sessions[0], 'AbortError');
      equal(await (await sessions[1]).prompt('Hello!').then((/** @type {string} */ text) => typeof text), 'string');
    },
  },
  {
    behaviour: 'initial prompts begin the conversation and are computed before `create()` resolves',
    source: 'Explainer, N-shot prompting',
    async test({ LanguageModel, reference }) {
      const initialPrompts = [SYSTEM, USER, { role: 'assistant', content: 'Hello! How can I help you?' }];
      const session = await LanguageModel.create({ initialPrompts, samplingMode: 'most-predictable' });
      equal(session.contextUsage, await session.measureContextUsage(initialPrompts));
      equal(await session.prompt('Who are you?'), await reference([...initialPrompts, { role: 'user', content: 'Who are you?' }]));
      session.destroy();
      (await LanguageModel.create({ initialPrompts: [] })).destroy();
    },
  },
  {
    behaviour: 'a system prompt that is not first rejects with TypeError',
    source: 'Explainer, N-shot prompting; WPT, language-model-create',
    async test({ LanguageModel }) {
      for (const initialPrompts of [[USER, SYSTEM], [SYSTEM, SYSTEM], [SYSTEM, USER, SYSTEM]]) {
        await rejects(() => LanguageModel.create({ initialPrompts }), 'TypeError');
      }
    },
  },
  {
    behaviour: 'initial prompts that do not fit reject with QuotaExceededError, whose `requested` is their size and whose `quota` is the window',
    source: 'Specification, initialize the language model; WPT, language-model-quota-exceeded',
    async test({ LanguageModel }) {
      const session = await LanguageModel.create();
      const content = 'a word and '.repeat(session.contextWindow);
      const error = await rejects(() => LanguageModel.create({ initialPrompts: [{ role: 'system', content }] }), 'QuotaExceededError');
      ok(error instanceof DOMException && error.requested > error.quota, `${error.requested} of ${error.quota}`);
      equal(error.quota, session.contextWindow);
      session.destroy();
    },
  },
  {
    behaviour: 'aborting the signal of `create()` later destroys the session, with the reason',
    source: 'Shared infrastructure, initialize and return an AI model object',
    async test({ LanguageModel }) {
      const controller = new AbortController();
      const session = await LanguageModel.create({ signal: controller.signal });
      const pending = session.prompt('Tell me a story.');
      const error = new Error('the page is done');
      controller.abort(error);
      await rejects(() => pending, error);
      await rejects(() => session.prompt('Hello!'), error);
    },
  },
];

/** @type {Row[]} */
const sampling = [
  {
    behaviour: '`samplingMode` is one of seven words (default: "balanced"); a clone has the mode of its session',
    source: 'Explainer, Configuration of sampling modes; WPT, language-model-create-sampling-mode',
    async test({ LanguageModel }) {
      const temperatures = [];
      for (const samplingMode of ['most-predictable', 'predictable', 'slightly-predictable', 'balanced', 'slightly-creative', 'creative', 'most-creative']) {
        const session = await LanguageModel.create({ samplingMode });
        const clone = await session.clone();
        equal([session.samplingMode, clone.samplingMode], [samplingMode, samplingMode]);
        temperatures.push(clone.temperature);
        for (const each of [session, clone]) each.destroy();
      }
      equal(temperatures[0], 0);
      ok(temperatures.every((value, index) => index === 0 || value > temperatures[index - 1]), `from cold to warm: ${temperatures}`);
      const session = await LanguageModel.create();
      equal([session.samplingMode, session.temperature], ['balanced', temperatures[3]]);
      session.destroy();
    },
  },
  {
    behaviour: '`temperature` and `topK` are accepted together only, and make `samplingMode` null',
    source: 'Explainer, Legacy: Configuration of per-session raw parameters; WPT, language-model-create, language-model-availability-sampling-mode',
    differs: 'as in extensions; a browser ignores them in web pages, and nothing is ignored here',
    async test({ LanguageModel }) {
      const session = await LanguageModel.create({ temperature: 0.25, topK: 3.9 });
      equal([session.temperature, session.topK, session.samplingMode], [0.25, 3, null]);
      session.destroy();
      await rejects(() => LanguageModel.create({ temperature: 0.5 }), 'NotSupportedError');
      await rejects(() => LanguageModel.create({ topK: 3 }), 'NotSupportedError');
      for (const numbers of [{ temperature: 0.5, topK: 3 }, { temperature: 0.5 }, { topK: 3 }]) {
        await rejects(() => LanguageModel.create({ ...numbers, samplingMode: 'balanced' }), 'TypeError');
        await rejects(() => LanguageModel.availability({ ...numbers, samplingMode: 'balanced' }), 'TypeError');
      }
    },
  },
  {
    behaviour: 'values below their range reject with RangeError; values above it are lowered to the maximum of `params()`',
    source: 'Explainer, Legacy: Configuration of per-session raw parameters; Specification, The API: both are an `unrestricted double`, so that Infinity does not fail',
    async test({ LanguageModel }) {
      for (const options of [{ temperature: -0.5, topK: 3 }, { temperature: 0.5, topK: 0 }, { temperature: 0.5, topK: -2 }, { temperature: NaN, topK: 3 }, { temperature: 0.5, topK: NaN }]) {
        await rejects(() => LanguageModel.create(options), 'RangeError');
      }
      const { maxTemperature, maxTopK } = await LanguageModel.params();
      const session = await LanguageModel.create({ temperature: Infinity, topK: Infinity });
      equal([session.temperature, session.topK], [maxTemperature, maxTopK]);
      session.destroy();
    },
  },
  {
    behaviour: '`params()` returns the model\'s defaults, or null if that would need a download',
    source: 'Specification, LanguageModelParams; WPT, language-model-params, language-model-destroy',
    differs: 'as in extensions; in web pages a browser has no `params()`, and its sessions have no `topK` and `temperature`',
    async test({ LanguageModel, make, at }) {
      const session = await LanguageModel.create();
      const { defaultTemperature, defaultTopK, maxTopK } = await LanguageModel.params();
      equal([defaultTemperature, defaultTopK], [session.temperature, session.topK]);
      ok(maxTopK >= defaultTopK, 'within their range');
      session.destroy();
      equal(await make({ source: at('missing') }).params(), null);
    },
  },
];

export const creating = [
  { title: 'Availability', rows: availability },
  { title: 'Creation', rows: create },
  { title: 'Sampling', rows: sampling },
];
