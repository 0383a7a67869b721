// Writes GGUF files for cases, byte by byte.

const u32 = (value) => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(value); return bytes; };
const u64 = (value) => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64LE(BigInt(value)); return bytes; };
const f32 = (value) => { const bytes = Buffer.alloc(4); bytes.writeFloatLE(value); return bytes; };
const string = (text) => { const bytes = Buffer.from(text); return Buffer.concat([u64(bytes.length), bytes]); };

/** Values of the metadata, with their types. */
export const value = {
  u32: (number) => Buffer.concat([u32(4), u32(number)]),
  f32: (number) => Buffer.concat([u32(6), f32(number)]),
  bool: (flag) => Buffer.concat([u32(7), Buffer.from([flag ? 1 : 0])]),
  text: (text) => Buffer.concat([u32(8), string(text)]),
  texts: (texts) => Buffer.concat([u32(9), u32(8), u64(texts.length), ...texts.map(string)]),
  i32s: (numbers) => Buffer.concat([u32(9), u32(5), u64(numbers.length), ...numbers.map((number) => u32(number >>> 0))]),
  f32s: (numbers) => Buffer.concat([u32(9), u32(6), u64(numbers.length), ...numbers.map(f32)]),
  raw: (...parts) => Buffer.concat(parts),
};
export const raw = { u32, u64, string };

/** A model of one layer with three tokens, whose numbers are all zero. */
const PAIRS = {
  'general.architecture': value.text('llama'),
  'llama.block_count': value.u32(1),
  'llama.context_length': value.u32(16),
  'llama.embedding_length': value.u32(2),
  'llama.feed_forward_length': value.u32(2),
  'llama.attention.head_count': value.u32(1),
  'llama.attention.layer_norm_rms_epsilon': value.f32(0.5),
  'tokenizer.ggml.model': value.text('gpt2'),
  'tokenizer.ggml.pre': value.text('gpt-2'),
  'tokenizer.ggml.tokens': value.texts(['a', 'b', 'ab']),
  'tokenizer.ggml.merges': value.texts(['a b']),
};
const TENSORS = [
  ['token_embd.weight', [2, 3]],
  ['blk.0.attn_norm.weight', [2]],
  ['blk.0.attn_q.weight', [2, 2]],
  ['blk.0.attn_k.weight', [2, 2]],
  ['blk.0.attn_v.weight', [2, 2]],
  ['blk.0.attn_output.weight', [2, 2]],
  ['blk.0.ffn_norm.weight', [2]],
  ['blk.0.ffn_gate.weight', [2, 2]],
  ['blk.0.ffn_up.weight', [2, 2]],
  ['blk.0.ffn_down.weight', [2, 2]],
  ['output_norm.weight', [2]],
].map(([name, dims], at) => ({ name, dims, type: 0, offset: 32 * at }));

/**
 * The bytes of the model, in hexadecimal digits. `pairs` replaces values of the metadata; `undefined`
 * removes one. `tensors` replaces fields of a tensor by its name; a function gets the whole list.
 * `tensorCount` and `pairCount` replace the counts. `tail` replaces everything after the metadata.
 */
export function gguf({ magic = 'GGUF', version = 3, pairs = {}, twice = [], tensors = {}, tensorCount, pairCount, tail, data = true } = {}) {
  const all = Object.entries({ ...PAIRS, ...pairs }).filter(([, bytes]) => bytes !== undefined);
  all.push(...twice);
  const list = typeof tensors === 'function' ? tensors(TENSORS.map((tensor) => ({ ...tensor }))) : TENSORS.map((tensor) => ({ ...tensor, ...tensors[tensor.name] }));
  const head = [Buffer.from(magic), u32(version), u64(tensorCount ?? list.length), u64(pairCount ?? all.length)];
  for (const [key, bytes] of all) head.push(string(key), bytes);
  if (tail) return Buffer.concat([...head, tail]).toString('hex');
  for (const { name, dims, type, offset } of list) head.push(string(name), u32(dims.length), ...dims.map(u64), u32(type), u64(offset));
  let bytes = Buffer.concat(head);
  const padding = () => Buffer.alloc((32 - (bytes.length % 32)) % 32);
  bytes = Buffer.concat([bytes, padding()]);
  if (data) bytes = Buffer.concat([bytes, Buffer.alloc(32 * TENSORS.length)]);
  return bytes.toString('hex');
}
