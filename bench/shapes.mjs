// What is measured: the shapes, the storage formats, and which engine supports which of them.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ROOT } from '../scripts/tools.mjs';

const BENCH = join(ROOT, 'bench');
const SHARED_STORY = join(dirname(ROOT), 'shared', 'models', 'story');

/**
 * `published`: a folder with a real model of this shape; the others get random weights. `prefill`, `past`:
 * the lengths that fit the context. `anyFormat`: compares ours with the best peer of all formats.
 */
const PLANS = {
  smollm2: { title: 'SmolLM2-135M shape', prefill: [128, 512], past: [16, 512, 2048] },
  minueza: { title: 'Minueza-32M shape', prefill: [128, 512], past: [16, 512] },
  story: { title: 'TinyStories-656K', prefill: [128, 256], past: [16, 256], published: SHARED_STORY, anyFormat: true },
};

export const SHAPES = Object.keys(PLANS);
export const FORMATS = ['f32', 'f16', 'bf16', 'q8', 'q4'];

/** Bits per weight, including scales: q8 and q4 have one 16-bit scale for 32 weights. */
const BITS = { f32: 32, f16: 16, bf16: 16, q8: 8.5, q4: 4.5 };

/**
 * The formats of each engine, under our names, and whether it has threads. A format that this checkout of
 * ours does not support fails when it loads.
 */
export const ENGINES = {
  ours: { title: 'Fireside', formats: FORMATS, threads: true },
  wllama: { title: 'wllama', formats: ['f32', 'f16', 'q8', 'q4'], threads: true, blocks: true },
  transformers: { title: 'transformers.js', formats: ['f32', 'f16', 'q8', 'q4'], threads: true },
  candle: { title: 'candle', formats: ['f32', 'q8', 'q4'], threads: false, blocks: true },
};

/** A shape with its config and derived values; undefined if it is a published model that is not here. */
export function shapeOf(name) {
  const { published } = PLANS[name];
  const path = published ? join(published, 'config.json') : join(BENCH, 'shapes', `${name}.json`);
  if (!existsSync(path)) return undefined;
  const config = JSON.parse(readFileSync(path, 'utf8'));
  const { vocab_size: vocab, hidden_size: hidden, intermediate_size: inter, num_hidden_layers: layers, num_attention_heads: heads } = config;
  const [kvHeads, headDim] = [config.num_key_value_heads, config.head_dim ?? hidden / heads];
  const layerWeights = layers * hidden * (2 * heads * headDim + 2 * kvHeads * headDim + 3 * inter);
  const headWeights = vocab * hidden;
  return {
    name, path, config, ...PLANS[name],
    /** The lengths for which there are prompts, as in models/tokenizer.py. */
    lengths: [16, 128, 256, 512, 2048].filter((length) => length < config.max_position_embeddings),
    /** Whether rows are whole blocks of 32. If not, llama.cpp and candle have no q8 and q4. */
    wholeBlocks: hidden % 32 === 0 && inter % 32 === 0,
    /**
     * The least bytes that a token of decode reads: every matrix once, and the keys and values of `past`
     * tokens. `stored`: the sizes that an engine reports; without it, the bits of the format, and keys and
     * values in f32.
     */
    decodeBytes(format, past, stored) {
      const read = layerWeights + headWeights;
      const share = config.tie_word_embeddings ? 1 : read / (read + headWeights); // only one row is read of an embedding that is not also the head
      const weights = stored ? stored.weightBytes * share : (read * BITS[format]) / 8;
      return weights + past * (stored?.kvBytesPerToken ?? layers * kvHeads * headDim * 2 * 4);
    },
    /**
     * Floating-point operations for reading `length` tokens: the layers' matrices, causal attention, and
     * the head once.
     */
    prefillFlops: (length) => 2 * (layerWeights * length + headWeights) + 2 * 2 * layers * heads * headDim * (length * (length + 1)) / 2,
  };
}

/** Why `engine` cannot run this, or undefined if it can. */
export function refusal(engine, { wholeBlocks }, format, threads) {
  const { formats, threads: hasThreads, blocks } = ENGINES[engine];
  if (!formats.includes(format)) return `has no ${format}`;
  if (threads > 1 && !hasThreads) return 'has one thread';
  if (blocks && !wholeBlocks && (format === 'q8' || format === 'q4')) return 'its blocks of 32 do not fit rows of this length';
  return undefined;
}
