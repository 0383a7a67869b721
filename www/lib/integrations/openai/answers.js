// The shapes of answers, whole and in chunks, as OpenAI's API has them.

/** @import { RunResult, TokenLogprob, Usage } from '../../shared/types.d.ts' */

/**
 * @typedef {{ id: string, created: number, model: string, fingerprint: string }} Head the fields that all
 *   chunks of an answer share
 */

/** What stands for the logarithm of nothing, which JSON cannot say. */
const LOGPROB_MIN = -9999;

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** @param {'chatcmpl' | 'cmpl' | 'req'} prefix */
export function newId(prefix) {
  const bytes = crypto.getRandomValues(new Uint8Array(29));
  return `${prefix}-${Array.from(bytes, (byte) => ALPHABET[byte % ALPHABET.length]).join('')}`;
}

/** Seconds since 1970. */
export const now = () => Math.floor(Date.now() / 1000);

/** @param {RunResult[]} results */
export function usage(results) {
  const sum = (/** @type {keyof Usage} */ name) => results.reduce((total, { usage }) => total + usage[name], 0);
  const [prompt, completion] = [sum('promptTokens'), sum('completionTokens')];
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: sum('cachedTokens'), audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
  };
}

/** @param {number} value */
const finite = (value) => Math.max(value, LOGPROB_MIN);

/** @param {TokenLogprob[] | undefined} tokens */
function chatLogprobs(tokens) {
  if (!tokens) return null;
  const one = (/** @type {Omit<TokenLogprob, 'top'>} */ { text, bytes, logprob }) => ({ token: text, logprob: finite(logprob), bytes: Array.from(bytes) });
  return { content: tokens.map((token) => ({ ...one(token), top_logprobs: token.top.map(one) })), refusal: null };
}

/**
 * @param {TokenLogprob[] | undefined} tokens
 * @param {number} offset of the first one in the answer, in UTF-16 units
 */
function textLogprobs(tokens, offset) {
  if (!tokens) return null;
  const offsets = [];
  for (const { text } of tokens) {
    offsets.push(offset);
    offset += text.length;
  }
  return {
    tokens: tokens.map(({ text }) => text),
    token_logprobs: tokens.map(({ logprob }) => finite(logprob)),
    top_logprobs: tokens.map(({ top }) => Object.fromEntries(top.map(({ text, logprob }) => [text, finite(logprob)]))),
    text_offset: offsets,
  };
}

/** @param {Head} head @param {string} object */
function frame({ id, created, model, fingerprint }, object) {
  return { id, object, created, model, system_fingerprint: fingerprint };
}

/**
 * The two shapes of an answer. The index of a choice is the prompt's number times `n`, plus the choice's
 * number.
 */
export const chat = {
  prefix: /** @type {const} */ ('chatcmpl'),

  /** @param {Head} head @param {RunResult[]} results */
  whole(head, results) {
    const choices = results[0].choices.map(({ text, finishReason, logprobs }, index) => ({
      index,
      message: { role: 'assistant', content: text, refusal: null, annotations: [] },
      logprobs: chatLogprobs(logprobs),
      finish_reason: finishReason,
    }));
    return { ...frame(head, 'chat.completion'), choices, usage: usage(results), service_tier: 'default' };
  },

  /**
   * @param {Head} head
   * @param {number} index
   * @param {string | undefined} text undefined at the end
   * @param {{ logprobs?: TokenLogprob[], isFirst?: boolean, finishReason?: string }} [more]
   */
  chunk(head, index, text, { logprobs, isFirst, finishReason = undefined } = {}) {
    const delta = { ...(isFirst && { role: 'assistant', refusal: null }), ...(text !== undefined && { content: text }) };
    return this.chunks(head, [{ index, delta, logprobs: chatLogprobs(logprobs), finish_reason: finishReason ?? null }]);
  },

  /** @param {Head} head @param {object[]} choices */
  chunks(head, choices) {
    return { ...frame(head, 'chat.completion.chunk'), choices };
  },
};

export const completion = {
  prefix: /** @type {const} */ ('cmpl'),

  /** @param {Head} head @param {RunResult[]} results */
  whole(head, results) {
    const choices = results.flatMap(({ choices }) => choices).map(({ text, finishReason, logprobs }, index) => ({
      text,
      index,
      logprobs: textLogprobs(logprobs, 0),
      finish_reason: finishReason,
    }));
    return { ...frame(head, 'text_completion'), choices, usage: usage(results) };
  },

  /**
   * @param {Head} head
   * @param {number} index
   * @param {string | undefined} text
   * @param {{ logprobs?: TokenLogprob[], offset?: number, finishReason?: string }} [more]
   */
  chunk(head, index, text = '', { logprobs, offset = 0, finishReason = undefined } = {}) {
    return this.chunks(head, [{ text, index, logprobs: textLogprobs(logprobs, offset), finish_reason: finishReason ?? null }]);
  },

  /** @param {Head} head @param {object[]} choices */
  chunks(head, choices) {
    return { ...frame(head, 'text_completion'), choices };
  },
};
