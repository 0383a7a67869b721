// What goes wrong, in the words of OpenAI's API: `{ error: { message, type, param, code } }` and a status.

import { isFireside } from '../../shared/errors.js';

/** An answer that is an error. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param
   *   {{ type?: string, param?: string | null, code?: string | null, headers?: Record<string, string>,
   *   cause?: unknown }}
   *   [more]
   */
  constructor(status, message, { type, param = null, code = null, headers = {}, cause } = {}) {
    super(message, { cause });
    this.name = 'ApiError';
    this.status = status;
    this.type = type ?? (status >= 500 ? 'server_error' : 'invalid_request_error');
    this.param = param;
    this.code = code;
    this.headers = headers;
  }

  /** The body of the answer, and of the last event of a stream that breaks. */
  toJSON() {
    return { error: { message: this.message, type: this.type, param: this.param, code: this.code } };
  }

  /** @returns {Response} */
  toResponse() {
    return Response.json(this, { status: this.status, headers: this.headers });
  }
}

/** A request that cannot be honoured. @param {string} param @param {string} code @param {string} message */
export function invalid(param, code, message) {
  return new ApiError(400, message, { param, code });
}

/** Nothing computes here any more. @param {string} message @param {string} code @param {unknown} [cause] */
export function unavailable(message, code, cause) {
  return new ApiError(503, message, { code, cause });
}

/** @param {string} id @param {Iterable<string>} known */
export function noModel(id, known) {
  const list = [...known].map((each) => `\`${each}\``).join(', ').slice(0, 200);
  const message = `The model \`${id.slice(0, 100)}\` does not exist or you do not have access to it. Models here: ${list}.`;
  return new ApiError(404, message, { param: 'model', code: 'model_not_found' });
}

/** The engine's option as the request spelt it: `topP` came as `top_p`. @param {unknown} option */
function spelling(option) {
  return typeof option === 'string' ? option.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) : null;
}

/**
 * What a failure of a run is to a client.
 * @param {unknown} error
 * @param {string} input the parameter that held the text: `messages`, `prompt` or `text`
 * @returns {ApiError}
 */
export function fromEngine(error, input) {
  if (error instanceof ApiError) return error;
  // Nobody reads this one: its client has gone.
  if (error instanceof DOMException) return new ApiError(499, 'The client closed the request.', { code: 'request_cancelled', cause: error });
  if (!isFireside(error)) return new ApiError(500, 'The server had an error while processing your request.', { code: 'internal_error', cause: error });
  const { message, details } = error;
  switch (error.code) {
    case 'CONTEXT_OVERFLOW': {
      const { requested, contextWindow } = details;
      const text = `This model's maximum context length is ${contextWindow} tokens. However, your ${input} resulted in ${requested} tokens. Please reduce the length of the ${input}.`;
      return invalid(input, 'context_length_exceeded', text);
    }
    case 'BAD_OPTION':
      return new ApiError(400, message, { param: spelling(details.option), code: 'invalid_value' });
    // Templates refuse chats that the model was not trained for: two user turns in a row, a late system
    // message.
    case 'BAD_TEMPLATE':
    case 'BAD_INPUT':
      return invalid(input, 'invalid_value', message);
    case 'OUT_OF_MEMORY':
      return unavailable(message, 'out_of_memory', error);
    case 'CRASHED':
    case 'DISPOSED':
      return unavailable(message, 'engine_crashed', error);
    default:
      return new ApiError(500, message, { code: error.code.toLowerCase(), cause: error });
  }
}
