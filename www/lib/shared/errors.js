// The one error class, its form on the wire, and the sentences that JavaScript itself has to say.

/** @import { WireError } from './protocol.d.ts' */
/** @import { ErrorCode } from './types.d.ts' */

/** Every failure of the library but an abort, which is a DOMException named AbortError. */
export class FiresideError extends Error {
  /**
   * @param {ErrorCode} code what a program branches on
   * @param {string} message the fact, then what to do about it
   * @param {Record<string, unknown>} [details] the figures behind the message: `{requested,
   *   contextWindow}`, `{url, status}`...
   * @param {ErrorOptions} [options]
   */
  constructor(code, message, details = {}, options) {
    super(message, options);
    this.name = 'FiresideError';
    this.code = code;
    this.details = details;
  }
}

/** @param {string} what @param {string} expected @param {unknown} got */
export function badInput(what, expected, got) {
  return new FiresideError('BAD_INPUT', `${what}: expected ${expected}, got ${show(got)}.`, { what, expected, got: show(got) });
}

/**
 * @param {string} what the message and its field: `messages[1].content`
 * @param {string} fact what is wrong with it: "is missing"
 * @param {string} remedy
 */
export function badMessage(what, fact, remedy) {
  return new FiresideError('BAD_INPUT', `${what} ${fact}. ${remedy}.`, { what, fact, remedy });
}

/** @param {string} option @param {string} expected @param {unknown} got */
export function badOption(option, expected, got) {
  return new FiresideError('BAD_OPTION', `option \`${option}\`: expected ${expected}, got ${show(got)}.`, {
    option,
    expected,
    got: show(got),
  });
}

/**
 * What to ask of who wrote a hub's `owner/name` without `hf:`; empty for anything else.
 * @param {unknown} source
 */
export function hubHint(source) {
  return typeof source === 'string' && /^[\w-][\w.-]*\/[\w-][\w.-]*(@[\w./-]+)?(:[\w.-]+)?$/.test(source) ? `did you mean \`hf:${source}\`?` : '';
}

/**
 * A page in place of a file: single-page hosts answer every unknown path with their start page.
 * @param {string} file
 * @param {string} url
 */
export function htmlInstead(file, url) {
  return new FiresideError(
    'NOT_A_MODEL_FILE',
    `${file} is not the model file it should be: ${url} gave an HTML page. Check the address: it must be the folder of the files, or a GGUF file.`,
    { file, url },
  );
}

/** @param {string} file @param {string} url */
export function noLock(file, url) {
  return new FiresideError('NETWORK', `${file} is missing: there is nothing at ${url}. Make it with \`fireside lock\`, or leave the option \`lock\` out.`, { file, url, status: 404 });
}

/** @param {string} file @param {number} max the bytes that it may have @param {string} [url] */
export function tooLong(file, max, url) {
  const limit = max < 1 << 20 ? `${max >> 10} KiB` : `${max >> 20} MiB`;
  const where = url === undefined ? '' : `: ${url}`;
  return new FiresideError('BAD_FILE', `${file} has more than ${limit}, the most that such a file may have${where}. Check that it is the file of a model.`, { file, max, url });
}

/** Whether an answer says that it is a page. @param {Response} response */
export function isHtml({ headers }) {
  return headers.get('content-type')?.startsWith('text/html') ?? false;
}

/** @param {Uint8Array} bytes */
export function looksLikeHtml(bytes) {
  return /^\s*<(!doctype html|html|head|body)/i.test(new TextDecoder().decode(bytes.subarray(0, 256)));
}

/** @param {string} what "this session", "this model" */
export function disposed(what) {
  return new FiresideError('DISPOSED', `${what} has been disposed of. Load the model again to go on.`);
}

/** @param {string} detail what the worker or wasm said last */
export function crashed(detail) {
  return new FiresideError('CRASHED', `the engine stopped: ${detail}. Load the model again; if it happens again, please report it.`, {
    detail,
  });
}

/**
 * A worker that never began.
 * @param {string} url of its script
 * @param {string} why
 * @param {string} remedy
 * @param {unknown} [cause]
 */
export function notStarted(url, why, remedy, cause) {
  return new FiresideError('UNSUPPORTED_ENVIRONMENT', `the engine's worker could not be started from ${url}: ${why}. ${remedy}`, { url, why }, { cause });
}

/** Memory ran out where the engine could not go on. */
export function outOfMemory() {
  return new FiresideError(
    'OUT_OF_MEMORY',
    'out of memory: the browser has no more for the engine, which stopped. Load the model again, with a smaller `dtype` or shorter chats.',
  );
}

/**
 * The reason of an abort as a DOMException: the caller's own where it is one (AbortSignal.timeout gives a
 * TimeoutError), else AbortError.
 * @param {AbortSignal} [signal]
 * @returns {DOMException}
 */
export function abortError(signal) {
  const reason = signal?.reason;
  if (reason instanceof DOMException) return reason;
  return new DOMException(typeof reason === 'string' ? reason : 'The operation was aborted.', 'AbortError');
}

/**
 * @param {unknown} error
 * @returns {error is FiresideError}
 */
export function isFireside(error) {
  return error instanceof Error && error.name === 'FiresideError' && 'code' in error;
}

/**
 * What the worker posts for an error. Whatever is not the engine's own error is a trap or a bug of ours:
 * the engine's state is then unknown.
 * @param {unknown} error
 * @returns {WireError}
 */
export function toWire(error) {
  const known = isFireside(error) ? error : crashed(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
  return { code: known.code, message: known.message, details: plain(known.details) };
}

/** @param {WireError} wire */
export function fromWire({ code, message, details }) {
  return new FiresideError(code, message, details);
}

/** @param {Record<string, unknown> | undefined} details */
function plain(details) {
  return Object.fromEntries(Object.entries(details ?? {}).filter(([, value]) => typeof value !== 'function'));
}

/** A value as a message quotes it: short, and telling a string from a number. @param {unknown} value */
export function show(value) {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === 'object' && value !== null) return `an object (${value.constructor?.name ?? 'no class'})`;
  if (typeof value === 'function') return 'a function';
  return value === undefined ? 'nothing' : String(value);
}
