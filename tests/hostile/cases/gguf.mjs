// GGUF files whose metadata, tensors or tokenizer are broken. A case has no fixture: its one file is the
// model.

import { gguf, raw, value } from '../gguf.mjs';
import { badFile, hex, hostile, notAModel, unsupported, works } from '../write.mjs';

const M = 'model.gguf';
const { u32, u64, string } = raw;

const of = (what, bytes, outcome, then) => hostile(`gguf: ${what}`, '', hex(M, bytes), outcome, then);
const bad = (what, file, at, expected, got) => of(what, gguf(file), badFile(M, at, expected, got));
const refused = (what, file, field, expected, got) => of(what, gguf(file), unsupported(M, field, expected, got));
const pair = (what, key, bytes, expected, got) => bad(what, { pairs: { [key]: bytes } }, `metadata ${key}`, expected, got);

const TOKENS = 'tokenizer.ggml.tokens';
const TYPES = 'tokenizer.ggml.token_type';
const MERGES = 'tokenizer.ggml.merges';
const SCORES = 'tokenizer.ggml.scores';
const KNOWN_TYPES = 'F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, F64, BF16, MXFP4';
const ARCHITECTURES = 'llama, qwen2, qwen3, smollm3';
const PRES = 'llama-bpe, llama3, llama-v3, falcon3, falcon-h1, pixtral, midm-2.0, lfm2, smaug-bpe, dbrx, qwen2, deepseek-r1-qwen, kormo, f2llmv2, megrez, tekken, gpt-4o, llama4, kanana2, seed-coder, smollm, starcoder, refact, command-r, codeshell, exaone, minerva-7b, gpt-2, phi-2, exaone4, jais, trillion, granite-docling, gigachat, olmo, mpt, deepseek-coder, default';
const BESIDE = 'or a tokenizer.json beside the file';
const HUGE = 2n ** 63n;
const EMBED = 'token_embd.weight';
const SPM = { 'tokenizer.ggml.model': value.text('llama'), [MERGES]: undefined };
const WHOLE = gguf();
const half = (digits, of, by) => digits.slice(0, 2 * Math.floor((digits.length / 2) * (of / by)));
/** The length of the header. */
const HEADER = gguf({ data: false }).length / 2;

export default [
  of('nothing is wrong', WHOLE, works({ tokens: [2, 0] }), { encode: 'aba' }),
  of('another magic', gguf({ magic: 'GGML' }), badFile(M, 'bytes 0 to 3', 'the letters GGUF', '0x47 0x47 0x4d 0x4c')),
  of('an HTML page', Buffer.from('<html>').toString('hex'), notAModel(M, 'an HTML page that begins “<html>”', 'Open its address in a browser tab: it may be mistyped, or the model may ask for a login or an accepted licence.')),
  of('nothing', '', notAModel(M, 'empty', 'Download it again: the transfer ended before its first byte.')),
  refused('version 1', { version: 1 }, 'the version of GGUF', '2, 3', '1'),
  refused('version 4', { version: 4 }, 'the version of GGUF', '2, 3', '4'),
  refused('the other byte order', { version: 0x03000000 }, 'the version of GGUF', '2, 3', '3, big-endian'),
  bad('2^63 tensors', { tensorCount: HUGE }, 'the number of tensors', 'at most 65536', String(HUGE)),
  bad('2^63 pairs', { pairCount: HUGE }, 'the number of pairs of metadata', 'at most 4096', String(HUGE)),
  of('the magic alone', Buffer.from('GGUF').toString('hex'), badFile(M, 'the whole file', 'a complete GGUF header', '4 bytes of it')),
  of('the first half', half(WHOLE, 1, 2), badFile(M, 'the whole file', 'a complete GGUF header', `${half(WHOLE, 1, 2).length / 2} bytes of it`)),
  of('no data', gguf({ data: false }), badFile(M, 'the whole file', `${HEADER + 32 * 10 + 8} bytes`, `${HEADER} bytes`)),
  of('bytes after the end', `${WHOLE}00`, badFile(M, `byte ${WHOLE.length / 2}`, 'the end of the file', 'more bytes')),

  bad('a key of 2^63 bytes', { pairCount: 12, tail: u64(HUGE) }, 'key 11', 'a text that ends within the header', `one of ${HUGE} bytes`),
  bad('a key of 2000 bytes', { pairCount: 12, tail: string('k'.repeat(2000)) }, 'key 11', 'a text that ends within the header', 'one of 2000 bytes'),
  bad('a key that is not UTF-8', { pairCount: 12, tail: Buffer.concat([u64(2), Buffer.from([0x61, 0xff]), u32(4)]) }, 'key 11', 'UTF-8 text', 'the byte 0xff at place 1 of it'),
  pair('a text of 2^64 - 1 bytes', 'general.name', value.raw(u32(8), u64(2n ** 64n - 1n)), 'a text that ends within the header', `one of ${2n ** 64n - 1n} bytes`),
  of('a text past the end', gguf({ pairCount: 12, tail: Buffer.concat([string('general.name'), u32(8), u64(9000), Buffer.from('short')]) }), badFile(M, 'the whole file', 'a complete GGUF header', `${gguf({ pairCount: 12, tail: Buffer.concat([string('general.name'), u32(8), u64(9000), Buffer.from('short')]) }).length / 2} bytes of it`)),
  pair('a text that is not UTF-8', 'general.name', value.raw(u32(8), u64(1), Buffer.from([0xc3])), 'UTF-8 text', 'the byte 0xc3 at place 0 of it'),
  pair('a value of type 13', 'general.name', u32(13), 'a value of a known type', 'one of type 13'),
  pair('a list of 2^63 numbers', 'general.name', value.raw(u32(9), u32(0), u64(HUGE)), 'a list of at most 67108864 bytes', `one of ${HUGE} entries`),
  pair('a list of 2^61 texts', 'general.name', value.raw(u32(9), u32(8), u64(2n ** 61n)), 'a list of at most 67108864 bytes', `one of ${2n ** 61n} entries`),
  pair('a list of lists', 'general.name', value.raw(u32(9), u32(9), u64(1)), 'a list of numbers or texts', 'a list of lists'),
  pair('a list of type 99', 'general.name', value.raw(u32(9), u32(99), u64(1)), 'a list of a known type', 'one of type 99'),
  bad('a text of a list past any header', { pairs: { 'general.tags': value.raw(u32(9), u32(8), u64(2), string('a'), u64(HUGE)) } }, 'metadata general.tags, entry 1', 'a text that ends within the header', `one of ${HUGE} bytes`),
  bad('a key that stands twice', { twice: [['llama.block_count', value.u32(1)]] }, 'metadata llama.block_count', 'one value', 'two'),

  pair('no architecture', 'general.architecture', undefined, `one of ${ARCHITECTURES}`, 'nothing'),
  pair('an architecture that is a number', 'general.architecture', value.u32(1), 'a text', '1'),
  refused('another architecture', { pairs: { 'general.architecture': value.text('mamba') } }, 'metadata general.architecture', ARCHITECTURES, 'mamba'),
  ...['block_count', 'context_length', 'embedding_length', 'feed_forward_length', 'attention.layer_norm_rms_epsilon'].map((key) => pair(`no ${key}`, `llama.${key}`, undefined, 'a number', 'nothing')),
  pair('no heads', 'llama.attention.head_count', undefined, 'a number', 'nothing'),
  pair('0 heads', 'llama.attention.head_count', value.u32(0), 'a whole number above 0', '0'),
  pair('layers that are a text', 'llama.block_count', value.text('one'), 'a whole number from 1 to 1024', '"one"'),
  pair('2^32 - 1 layers', 'llama.block_count', value.u32(4294967295), 'a whole number from 1 to 1024', '4294967295'),
  pair('an epsilon that is not a number', 'llama.attention.layer_norm_rms_epsilon', value.f32(NaN), 'a number above 0 and at most 1', '"NaN"'),
  refused('layers of different widths', { pairs: { 'llama.feed_forward_length': value.i32s([2, 4]) } }, 'metadata llama.feed_forward_length', 'one number for all layers', '2 in one layer, 4 in another'),
  refused('a rope of half a head', { pairs: { 'llama.rope.dimension_count': value.u32(1) } }, 'metadata llama.rope.dimension_count', '2, the width of a head', '1'),
  refused('experts', { pairs: { 'llama.expert_count': value.u32(8) } }, 'metadata llama.expert_count', 'null', '8'),
  refused('a stretched rope', { pairs: { 'llama.rope.scaling.type': value.text('yarn'), 'llama.rope.scaling.factor': value.f32(4) } }, 'metadata llama.rope.scaling.type', 'default, llama3', '"yarn"'),
  pair('an alignment of 0', 'general.alignment', value.u32(0), 'a power of two up to 2097152', '0'),
  pair('an alignment of 24', 'general.alignment', value.u32(24), 'a power of two up to 2097152', '24'),
  pair('another part', 'split.count', value.u32(2), '1, as the name of the file says', '2'),

  bad('a tensor of 5 dimensions', { tensors: { [EMBED]: { dims: [2, 3, 1, 1, 1] } } }, `tensor ${EMBED}`, '1 to 4 dimensions', '5'),
  bad('a tensor without dimensions', { tensors: { [EMBED]: { dims: [] } } }, `tensor ${EMBED}`, '1 to 4 dimensions', '0'),
  bad('a tensor of 2^63 rows', { tensors: { [EMBED]: { dims: [2, HUGE] } } }, `tensor ${EMBED}`, 'data within 2^64 bytes', `F32 [${HUGE}, 2]`),
  bad('a tensor at 2^64 - 32', { tensors: { 'output_norm.weight': { offset: 2n ** 64n - 32n } } }, 'tensor output_norm.weight', 'data from byte 320', `data from byte ${2n ** 64n - 32n}: a hole before it`),
  bad('tensors that overlap', { tensors: { 'blk.0.attn_q.weight': { offset: 32 } } }, 'tensor blk.0.attn_q.weight', 'data from byte 64', 'data from byte 32: an overlap with the tensor before it'),
  bad('a tensor that is not aligned', { tensors: { 'blk.0.attn_norm.weight': { offset: 24 } } }, 'tensor blk.0.attn_norm.weight', 'data from byte 32', 'data from byte 24, which is not a multiple of 32'),
  bad('a hole', { tensors: { 'output_norm.weight': { offset: 384 } } }, 'tensor output_norm.weight', 'data from byte 320', 'data from byte 384: a hole before it'),
  bad('rows of half a block', { tensors: { [EMBED]: { type: 8 } } }, `tensor ${EMBED}`, 'rows of whole blocks of 32', 'Q8_0 [3, 2]'),
  refused('an unknown type', { tensors: { [EMBED]: { type: 77 } } }, `the type of tensor ${EMBED}`, KNOWN_TYPES, '77'),
  refused('a known type that is not read', { tensors: { [EMBED]: { type: 26 } } }, `the dtype of tensor ${EMBED}`, KNOWN_TYPES, 'I32'),
  bad('a tensor that stands twice', { tensors: (list) => list.map((tensor, at) => ({ ...tensor, name: at === 2 ? 'blk.0.attn_k.weight' : tensor.name })) }, 'tensor blk.0.attn_k.weight', 'one entry in the header', 'two'),
  bad('a missing tensor', { tensors: { 'blk.0.ffn_up.weight': { name: 'blk.00.ffn_up.weight' } } }, 'tensor blk.0.ffn_up.weight', 'a tensor of shape [2, 2]', 'nothing'),
  bad('another shape', { tensors: { 'blk.0.ffn_up.weight': { dims: [2, 1] } } }, 'tensor blk.0.ffn_up.weight', 'shape [2, 2]', 'shape [1, 2]'),
  bad('a name of 2000 bytes', { tensors: { [EMBED]: { name: 'n'.repeat(2000) } } }, 'tensor 0', 'a text that ends within the header', 'one of 2000 bytes'),
  of('a number that is not finite', WHOLE.slice(0, -2 * 32 * 11) + '0000807f' + WHOLE.slice(-2 * 32 * 11 + 8), badFile(M, `tensor ${EMBED}, row 0`, 'numbers', 'a NaN or an infinity')),

  pair('no tokens', TOKENS, undefined, `a list of the tokens, ${BESIDE}`, 'nothing'),
  pair('an empty list of tokens', TOKENS, value.texts([]), `a list of the tokens, ${BESIDE}`, 'an empty one'),
  pair('tokens that are a text', TOKENS, value.text('a'), 'a list of texts', '"a"'),
  bad('a token without text', { pairs: { [TOKENS]: value.texts(['a', '', 'ab']) } }, `metadata ${TOKENS}, entry 1`, 'a text', 'an empty one'),
  bad('two equal tokens', { pairs: { [TOKENS]: value.texts(['a', 'b', 'a']) } }, `metadata ${TOKENS}, entry 2`, 'a text that no other token has', '"a" as in entry 0'),
  pair('fewer types than tokens', TYPES, value.i32s([1, 1]), 'a type for each of 3 tokens', '2 of them'),
  bad('a token of type 9', { pairs: { [TYPES]: value.i32s([1, 9, 1]) } }, `metadata ${TYPES}, entry 1`, 'a type from 0 to 6', '9'),
  bad('a token of type -1', { pairs: { [TYPES]: value.i32s([1, -1, 1]) } }, `metadata ${TYPES}, entry 1`, 'a type from 0 to 6', '-1'),
  pair('no merges', MERGES, undefined, 'a list of the merges', 'nothing'),
  bad('a merge of one token', { pairs: { [MERGES]: value.texts(['ab']) } }, `metadata ${MERGES}, entry 0`, 'two tokens with a space between them', '"ab"'),
  bad('a merge of an unknown token', { pairs: { [MERGES]: value.texts(['a b', 'ab c']) } }, `metadata ${MERGES}, entry 1`, 'tokens of the vocabulary', '"c"'),
  bad('a merge to an unknown token', { pairs: { [MERGES]: value.texts(['b a']) } }, `metadata ${MERGES}, entry 0`, 'tokens of the vocabulary', '"ba"'),
  of('no scores', gguf({ pairs: SPM }), badFile(M, `metadata ${SCORES}`, 'a score for each of 3 tokens', 'nothing')),
  of('a score that is not a number', gguf({ pairs: { ...SPM, [SCORES]: value.f32s([0, NaN, 1]) } }), badFile(M, `metadata ${SCORES}, entry 1`, 'a number', 'NaN')),
  pair('BOS beyond the tokens', 'tokenizer.ggml.bos_token_id', value.u32(3), 'an id below 3', '3'),
  pair('BOS that is a text', 'tokenizer.ggml.bos_token_id', value.text('a'), 'a whole number', '"a"'),
  pair('a flag that is a number', 'tokenizer.ggml.add_bos_token', value.u32(1), 'true or false', '1'),
  pair('no kind of tokenizer', 'tokenizer.ggml.model', undefined, `gpt2 or llama, ${BESIDE}`, 'nothing'),
  refused('another kind of tokenizer', { pairs: { 'tokenizer.ggml.model': value.text('rwkv') } }, 'metadata tokenizer.ggml.model', `gpt2, llama; ${BESIDE}`, 'rwkv'),
  refused('another pre-tokenizer', { pairs: { 'tokenizer.ggml.pre': value.text('bloom') } }, 'metadata tokenizer.ggml.pre', `${PRES}; ${BESIDE}`, 'bloom'),
  pair('a template that is a number', 'tokenizer.chat_template', value.u32(1), 'a text', '1'),
];
