// Writes a Llama of this repository as a GGUF file, whole or in parts, as llama.cpp's converter does. The
// order of its merges becomes the scores of a SentencePiece vocabulary.
//
// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const ALIGNMENT = 32;
const U32 = 4;
const I32 = 5;
const F32 = 6;
const BOOL = 7;
const TEXT = 8;
const LIST = 9;
/** Of tensors: their number in the file. */
const TYPES = { F32: 0, F16: 1, BF16: 30 };

const NAMES = {
  'model.embed_tokens': 'token_embd',
  'model.norm': 'output_norm',
  lm_head: 'output',
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

const read = (/** @type {string} */ folder, /** @type {string} */ file) => JSON.parse(readFileSync(join(folder, file), 'utf8'));

/**
 * A number of some type, little-endian.
 * @param {'UInt32LE' | 'Int32LE' | 'FloatLE' | 'BigUInt64LE'} type
 * @param {any} value
 */
function number(type, value) {
  const bytes = Buffer.alloc(type === 'BigUInt64LE' ? 8 : 4);
  bytes[`write${type}`](type === 'BigUInt64LE' ? BigInt(value) : value);
  return bytes;
}
const u32 = (/** @type {number} */ value) => number('UInt32LE', value);
const u64 = (/** @type {number} */ value) => number('BigUInt64LE', value);
const text = (/** @type {string} */ value) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

/** How the values of each type are written. @type {Record<number, (value: any) => Buffer>} */
const WRITE = { [U32]: u32, [I32]: (value) => number('Int32LE', value), [F32]: (value) => number('FloatLE', value), [BOOL]: (value) => Buffer.from([Number(value)]), [TEXT]: text };

/** A key with its value or list of values. @param {[string, number, any]} pair */
function pair([key, type, value]) {
  const body = Array.isArray(value) ? Buffer.concat([u32(LIST), u32(type), u64(value.length), ...value.map(WRITE[type])]) : Buffer.concat([u32(type), WRITE[type](value)]);
  return Buffer.concat([text(key), body]);
}

/**
 * A GGUF file.
 * @param {[string, number, any][]} pairs
 * @param {{ name: string, shape: number[], type: number, bytes: Buffer }[]} tensors
 */
function file(pairs, tensors) {
  const padded = (/** @type {Buffer} */ bytes) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & (ALIGNMENT - 1))]);
  let offset = 0;
  const infos = tensors.map(({ name, shape, type, bytes }) => {
    const info = Buffer.concat([text(name), u32(shape.length), ...shape.toReversed().map(u64), u32(type), u64(offset)]);
    offset += padded(bytes).length;
    return info;
  });
  const head = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(pairs.length), ...pairs.map(pair), ...infos]);
  return Buffer.concat([padded(head), ...tensors.map(({ bytes }) => padded(bytes))]);
}

/**
 * The tensors of a folder by their names in GGUF. Rows of q and k are in pairs, and vectors are f32.
 * @param {string} folder
 * @param {any} config
 */
function tensors(folder, { num_attention_heads: heads, num_key_value_heads: kvHeads = heads }) {
  const all = readFileSync(join(folder, 'model.safetensors'));
  const start = 8 + Number(all.readBigUInt64LE(0));
  const { __metadata__, ...entries } = JSON.parse(all.toString('utf8', 8, start));
  return Object.entries(entries).map(([name, { dtype, shape, data_offsets: [from, to] }]) => {
    const [, layer, inner] = /^(model\.layers\.\d+\.)?(.*)\.weight$/.exec(name) ?? [];
    const named = `${layer ? `blk.${layer.split('.')[2]}.` : ''}${NAMES[inner]}.weight`;
    const bytes = all.subarray(start + from, start + to);
    if (shape.length === 1) return { name: named, shape, type: TYPES.F32, bytes: widened(bytes, dtype) };
    const group = inner.endsWith('q_proj') ? heads : inner.endsWith('k_proj') ? kvHeads : 0;
    return { name: named, shape, type: TYPES[dtype], bytes: group ? paired(bytes, shape[0], group) : bytes };
  });
}

/**
 * The rows of each head, those of its two halves by turns.
 * @param {Buffer} bytes
 * @param {number} rows
 * @param {number} heads
 */
function paired(bytes, rows, heads) {
  const [length, half] = [bytes.length / rows, rows / heads / 2];
  const from = Array.from({ length: rows }, (_, row) => 2 * half * Math.floor(row / (2 * half)) + (row % 2) * half + Math.floor((row % (2 * half)) / 2));
  return Buffer.concat(from.map((row) => bytes.subarray(row * length, (row + 1) * length)));
}

/** @param {Buffer} bytes @param {string} dtype */
function widened(bytes, dtype) {
  if (dtype === 'F32') return bytes;
  const halves = Array.from({ length: bytes.length / 2 }, (_, index) => bytes.readUInt16LE(2 * index));
  return Buffer.concat(halves.map((bits) => (dtype === 'BF16' ? u32((bits << 16) >>> 0) : number('FloatLE', half(bits)))));
}

/** The value of an f16. @param {number} bits */
function half(bits) {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
}

/** @param {string} folder @returns {[string, number, any][]} */
function metadata(folder) {
  const config = read(folder, 'config.json');
  const { model, added_tokens: added, normalizer, post_processor: processor } = read(folder, 'tokenizer.json');
  const { chat_template: template } = read(folder, 'tokenizer_config.json');
  const tokens = Object.entries(model.vocab).sort(([, a], [, b]) => a - b).map(([token]) => token);
  const ranks = new Map(model.merges.map((merge, rank) => [typeof merge === 'string' ? merge.replace(' ', '') : merge.join(''), rank]));
  const special = new Set(added.map(({ content }) => content));
  const kind = (/** @type {string} */ token) => (token === model.unk_token ? 2 : special.has(token) ? 3 : /^<0x..>$/.test(token) ? 6 : 1);
  const hidden = [config.hidden_size, config.num_attention_heads];
  const headDim = config.head_dim ?? hidden[0] / hidden[1];
  const bos = processor ? [['tokenizer.ggml.bos_token_id', U32, model.vocab[processor.single[0].SpecialToken.id]]] : [];
  return [
    ['general.architecture', TEXT, 'llama'],
    ['llama.block_count', U32, config.num_hidden_layers],
    ['llama.context_length', U32, config.max_position_embeddings],
    ['llama.embedding_length', U32, hidden[0]],
    ['llama.feed_forward_length', U32, config.intermediate_size],
    ['llama.attention.head_count', U32, hidden[1]],
    ['llama.attention.head_count_kv', U32, config.num_key_value_heads],
    ['llama.attention.key_length', U32, headDim],
    ['llama.attention.value_length', U32, headDim],
    ['llama.rope.dimension_count', U32, headDim],
    ['llama.rope.freq_base', F32, config.rope_theta ?? config.rope_parameters.rope_theta],
    ['llama.attention.layer_norm_rms_epsilon', F32, config.rms_norm_eps],
    ['llama.vocab_size', U32, config.vocab_size],
    ['tokenizer.ggml.model', TEXT, 'llama'],
    ['tokenizer.ggml.tokens', TEXT, tokens],
    ['tokenizer.ggml.scores', F32, tokens.map((token) => -(ranks.get(token) ?? model.merges.length))],
    ['tokenizer.ggml.token_type', I32, tokens.map(kind)],
    ['tokenizer.ggml.unknown_token_id', U32, model.vocab[model.unk_token]],
    ['tokenizer.ggml.eos_token_id', U32, config.eos_token_id],
    ['tokenizer.ggml.add_bos_token', BOOL, Boolean(processor)],
    ['tokenizer.ggml.add_space_prefix', BOOL, normalizer.type === 'Sequence'],
    ...bos,
    ...(template ? [['tokenizer.chat_template', TEXT, template]] : []),
  ];
}

/**
 * A model folder as a GGUF file, or in so many parts.
 * @param {string} folder
 * @param {number} [count]
 * @returns {Buffer[]}
 */
export function gguf(folder, count = 1) {
  const all = tensors(folder, read(folder, 'config.json'));
  const pairs = metadata(folder);
  if (count === 1) return [file(pairs, all)];
  const each = Math.ceil(all.length / count);
  return Array.from({ length: count }, (_, part) => {
    const own = [['split.no', U32, part], ['split.count', U32, count], ['split.tensors.count', I32, all.length]];
    return file([...(part === 0 ? pairs : []), ...own], all.slice(part * each, (part + 1) * each));
  });
}
