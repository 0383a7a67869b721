// Made of the rows in src/options by `FIRESIDE_WRITE=1 cargo test --test options`.

/** @type {Record<string, { option: string, kind?: 'integer' | 'decimal', min?: number, max?: number }>} */
export const OPTIONS = {
  max_tokens: { option: 'maxTokens', kind: 'integer', min: 1, max: 2147483647 },
  min_tokens: { option: 'minTokens', kind: 'integer', min: 0, max: 2147483647 },
  temperature: { option: 'temperature', kind: 'decimal', min: 0, max: 2 },
  top_k: { option: 'topK', kind: 'integer', min: 0, max: 2147483647 },
  top_p: { option: 'topP', kind: 'decimal', min: 0, max: 1 },
  min_p: { option: 'minP', kind: 'decimal', min: 0, max: 1 },
  typical_p: { option: 'typicalP', kind: 'decimal', min: 0, max: 1 },
  repetition_penalty: { option: 'repetitionPenalty', kind: 'decimal', min: 0.01, max: 100 },
  frequency_penalty: { option: 'frequencyPenalty', kind: 'decimal', min: -2, max: 2 },
  presence_penalty: { option: 'presencePenalty', kind: 'decimal', min: -2, max: 2 },
  logit_bias: { option: 'logitBias' },
  stop: { option: 'stop' },
  seed: { option: 'seed', kind: 'integer', min: 0, max: 9007199254740991 },
  n: { option: 'n', kind: 'integer', min: 1, max: 16 },
};
