// tokenizer.json and tokenizer_config.json: files on which the tokenizers library panics, endless patterns,
// and contradictory tokens.

import { badFile, badInput, badTokenizer, hostile, keep, repeat, replace, text, unsupported, works } from '../write.mjs';

const T = 'tokenizer.json';
const TC = 'tokenizer_config.json';

const added = (id, content, more = {}) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true, ...more });

/** A small valid tokenizer with some parts replaced. */
const whole = (parts = {}, model = {}) => ({
  version: '1.0',
  added_tokens: [added(3, '<s>')],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: { type: 'Fuse' },
  ...parts,
  model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: [['a', 'b']], ...model },
});
const SEARCHABLE = 'a regular expression that Fireside can search';
const LACKING = "characters that the model's vocabulary has, for it has no unknown token";
const file = (json) => text(T, typeof json === 'string' ? json : JSON.stringify(json));

const tokenizer = (name, json, outcome, then) => hostile(`tokenizer: ${name}`, 'qwen2-bf16', file(json), outcome, then);
const split = (Regex) => whole({ pre_tokenizer: { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false } });
const LLAMA3 = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const replacing = (pattern, content = 'b') => ({ type: 'Replace', pattern, content });
const base64 = (bytes) => Buffer.from(bytes).toString('base64');
const charsmap = (precompiled_charsmap) => whole({ normalizer: { type: 'Precompiled', precompiled_charsmap } });
const CHARSMAP = 'normalizer.precompiled_charsmap';
const TABLE = 'a table of replacements as SentencePiece stores it';
/** A table with this trie and these replacements. */
const table = (units, replacements = '') => base64([...new Uint8Array(Uint32Array.from([units.length * 4, ...units]).buffer), ...Buffer.from(replacements)]);
/** A trie of 512 units with one path: the byte of `a`, whose replacement begins at `value`. */
const trie = (value) => {
  const units = Array(512).fill(0);
  units[0x61] = ((0x61 ^ 256) << 10) | (1 << 8) | 0x61;
  units[256] = ((1 << 31) | value) >>> 0;
  return units;
};
/** The same, but an `a` is followed by an `a` again. */
const loop = () => {
  const units = trie(0);
  [units[0], units[256 ^ 0x61]] = [256 << 10, (0x61 << 10) | (1 << 8) | 0x61];
  return units;
};
const template = (single, special_tokens = {}) => whole({ post_processor: { type: 'TemplateProcessing', single, pair: [], special_tokens } });
const unigram = (vocab, more = {}) => {
  const json = whole();
  return { ...json, added_tokens: [], model: { type: 'Unigram', unk_id: 0, vocab, byte_fallback: false, ...more } };
};

export default [
  // The file.
  tokenizer('an empty object', '{}', badTokenizer('line 1, column 2', 'a tokenizer as JSON', '“missing field `model`”')),
  tokenizer('a list', '[]', badTokenizer('line 1, column 0', 'a tokenizer as JSON', '“invalid type: sequence, expected an object”')),
  hostile('tokenizer: cut off', 'qwen2-bf16', keep(T, 100), badTokenizer('line 1, column 100', 'a tokenizer as JSON', '“EOF while parsing a string”')),
  hostile('tokenizer: cut off in the decoder, where the library panics', 'qwen2-bf16', keep(T, 1700), badTokenizer('line 1, column 1700', 'a tokenizer as JSON', '“EOF while parsing a string”')),
  hostile('tokenizer: a decoder nested 10,000 deep, where the library panics', 'qwen2-bf16', repeat(T, '{"decoder":', '{"type":"Sequence","decoders":[', 10000, ''), badTokenizer('line 1, column 1965', 'a tokenizer as JSON', '“recursion limit exceeded”')),
  hostile('tokenizer: a normalizer nested 100 deep', 'qwen2-bf16', [file(whole()), replace(T, '"normalizer":null', `"normalizer":${'{"type":"Sequence","normalizers":['.repeat(100)}${']}'.repeat(100)}`)], badTokenizer('line 1, column 2299', 'a tokenizer as JSON', '“recursion limit exceeded”')),
  tokenizer('a small valid one', whole(), works({ tokens: [2, 0] }), { encode: 'aba' }),
  tokenizer('a null model', { ...whole(), model: null }, badTokenizer('line 1, column 242', 'a tokenizer as JSON', '“invalid type: null, expected struct Model”')),
  tokenizer('a part that occurs twice', JSON.stringify(whole()).replace('{', '{"decoder":null,'), badTokenizer('line 1, column 228', 'a tokenizer as JSON', '“duplicate field `decoder`”')),

  // The vocabulary.
  tokenizer('no tokens', whole({ added_tokens: [] }, { vocab: {}, merges: [] }), badTokenizer('model.vocab', 'tokens', 'none')),
  tokenizer('two tokens with one id', whole({}, { vocab: { a: 0, b: 0, ab: 2 } }), badTokenizer('line 1, column 272', 'a tokenizer as JSON', '“two tokens have the id 0”')),
  tokenizer('a token that occurs twice', JSON.stringify(whole()).replace('"a":0', '"a":0,"\\u0061":5'), badTokenizer('model.vocab', 'every token once', '1 that stand twice')),
  tokenizer('an id of 2^32 - 1', whole({}, { vocab: { a: 0, b: 1, ab: 4294967295 } }), badTokenizer('line 1, column 289', 'a tokenizer as JSON', '“id 4294967295 is not below 16777216”')),
  tokenizer('an id of 2^32', whole({}, { vocab: { a: 0, b: 1, ab: 4294967296 } }), badTokenizer('line 1, column 288', 'a tokenizer as JSON', '“invalid value: integer `4294967296`, expected u32”')),
  tokenizer('a negative id', whole({}, { vocab: { a: 0, b: -1, ab: 2 } }), badTokenizer('line 1, column 273', 'a tokenizer as JSON', '“invalid value: integer `-1`, expected u32”')),
  tokenizer('an id beyond the model', whole({}, { vocab: { a: 0, b: 1, ab: 400 } }), works({ tokens: [400] }), { encode: 'ab' }),
  tokenizer('an id beyond the model in a chat', whole({}, { vocab: { a: 0, b: 1, ab: 400 } }), badInput('tokens', 'tokens that the model has, with ids below 328', '400 ("ab"). Leave it out of the text or the chat template'), { chat: 'ab' }),
  tokenizer('a model of another kind', { ...whole(), model: { type: 'Oracle', vocab: {}, merges: [] } }, badTokenizer('model.type', 'one of BPE, Unigram, WordLevel, WordPiece', '"Oracle"')),
  tokenizer('merges that grow longer than every token', whole({}, { merges: [['ab', 'b']] }), badTokenizer('model.merges', 'none longer than the longest token (2 bytes)', 'one of 3 bytes')),
  tokenizer('a merge of an unknown token', whole({}, { merges: [['a', 'x']] }), badTokenizer('the file', 'a tokenizer that the tokenizers library can read', '“Token `x` out of vocabulary”')),
  tokenizer('a merge into an unknown token', whole({}, { merges: [['b', 'a']] }), badTokenizer('the file', 'a tokenizer that the tokenizers library can read', '“Token `ba` out of vocabulary”')),
  tokenizer('a merge of one token', whole({}, { merges: [['a']] }), badTokenizer('line 1, column 297', 'a tokenizer as JSON', '“expected a merge of two tokens”')),
  tokenizer('a merge of an empty token', whole({ added_tokens: [] }, { vocab: { a: 0, b: 1, ab: 2, '': 3 }, merges: [['', 'a']] }), works({ tokens: [0, 1] }), { encode: 'ab' }),
  tokenizer('dropout', whole({}, { dropout: 0.5 }), badTokenizer('model.dropout', 'null: the same text must give the same tokens', '0.5')),
  tokenizer('a dropout of 2', whole({}, { dropout: 2 }), badTokenizer('model.dropout', 'null: the same text must give the same tokens', '2')),
  tokenizer('a prefix of continuing words longer than the tokens', whole({}, { continuing_subword_prefix: '####' }), badTokenizer('model.continuing_subword_prefix', 'null', '"####"')),
  tokenizer('text that the vocabulary cannot spell, which is skipped as by the library', whole(), works({ tokens: [2, 2] }), { encode: 'abxab' }),
  tokenizer('byte fallback without the tokens of bytes', whole({}, { byte_fallback: true }), works({ tokens: [0] }), { encode: 'aé' }),
  tokenizer('an unknown token that does not exist', whole({}, { unk_token: '<unk>' }), badInput('text', LACKING, "'x'. Leave that character out"), { encode: 'abxab' }),
  tokenizer('pieces whose scores are not numbers', JSON.stringify(unigram([['<unk>', 0], ['a', 0]])).replace('["a",0]', '["a",NaN]'), badTokenizer('line 1, column 186', 'a tokenizer as JSON', '“expected value”')),
  tokenizer('pieces whose scores are infinite', JSON.stringify(unigram([['<unk>', 0], ['a', 0]])).replace('["a",0]', '["a",1e999]'), badTokenizer('line 1, column 190', 'a tokenizer as JSON', '“number out of range”')),
  tokenizer('pieces whose scores add up to infinities', unigram([['<unk>', 0], ['a', 1e308], ['aa', -1e308], ['b', 1e308]]), works(), { encode: 'aaaaaaaabbbb' }),
  tokenizer('an empty piece, at which the library never ends', unigram([['<unk>', 0], ['', 0], ['a', 0]]), badTokenizer('line 1, column 187', 'a tokenizer as JSON', '“a piece of 0 bytes, not of 1 to 256”')),
  tokenizer('the same piece twice, of which the library takes the last', unigram([['<unk>', 0], ['a', 0], ['a', -1]]), works()),
  tokenizer('an unknown piece beyond the list', unigram([['<unk>', 0], ['a', 0]], { unk_id: 2 }), badTokenizer('model.unk_id', 'an id below 2', '2')),
  tokenizer('text without pieces and no unknown piece', unigram([['a', 0], ['b', 0]], { unk_id: null }), badInput('text', LACKING, "'x'. Leave that character out"), { encode: 'abx' }),
  tokenizer('words without an unknown word', { ...whole({ added_tokens: [] }), model: { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab: { a: 0, b: 1 } } }, badInput('text', LACKING, "'x'. Leave that character out"), { encode: 'xyz' }),
  tokenizer('a word level model without an unknown word', { ...whole({ added_tokens: [] }), model: { type: 'WordLevel', unk_token: '[UNK]', vocab: { a: 0, b: 1 } } }, badInput('text', LACKING, "'x'. Leave that character out"), { encode: 'xyz' }),

  tokenizer('words of 10^9 letters, looked up in parts', { ...whole({ added_tokens: [] }), model: { type: 'WordPiece', unk_token: 'a', continuing_subword_prefix: '##', max_input_chars_per_word: 1000000000, vocab: { a: 0, b: 1 } } }, badTokenizer('model.max_input_chars_per_word', 'at most 1000', '1000000000')),
  hostile('tokenizer: a piece of 100,000 letters, whose tree the library frees by recursion', 'qwen2-bf16', repeat(T, '{"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["', 'a', 100000, '",0]]}}'), badTokenizer('line 1, column 100066', 'a tokenizer as JSON', '“a piece of 100000 bytes, not of 1 to 256”')),

  // Added tokens.
  tokenizer('an added token without text', whole({ added_tokens: [added(3, '')] }), badTokenizer('added_tokens', 'texts of 1 to 256 bytes', 'one of 0')),
  tokenizer('an added token with the id of another', whole({ added_tokens: [added(2, '<s>')] }), badTokenizer('added token "<s>"', 'the id 3 it has in the vocabulary', '2')),
  tokenizer('added tokens with ids in a circle', whole({ added_tokens: [added(1, 'a'), added(0, 'b')] }), badTokenizer('added token "a"', 'the id 0 it has in the vocabulary', '1')),
  tokenizer('two added tokens with one id', whole({ added_tokens: [added(3, '<s>'), added(3, '</s>')] }), badTokenizer('added token "</s>"', 'the id 4 it has in the vocabulary', '3')),
  tokenizer('an added token that occurs twice', whole({ added_tokens: [added(3, '<s>'), added(4, '<s>')] }), badTokenizer('added token "<s>"', 'the id 3 it has in the vocabulary', '4')),
  tokenizer('an added token with an id of 2^32 - 1', whole({ added_tokens: [added(4294967295, '<s>')] }), badTokenizer('added_tokens', 'ids below 16777216', '4294967295')),
  tokenizer('an added token that the normalizer removes', whole({ normalizer: replacing({ String: '<s>' }, ''), added_tokens: [added(3, '<s>', { normalized: true })] }), badTokenizer('added token "<s>"', 'a text that the normalizer keeps', 'one that it takes away'), { encode: 'a<s>b' }),
  tokenizer('two added tokens that the normalizer makes one', whole({ normalizer: { type: 'Lowercase' }, added_tokens: [added(3, 'X', { normalized: true }), added(4, 'x', { normalized: true })] }), works(), { encode: 'aXb' }),
  tokenizer('250 special tokens, each the end of another, taken apart', whole({ added_tokens: Array.from({ length: 250 }, (_, i) => added(i + 3, 'a'.repeat(i + 2))) }, { type: 'WordLevel', unk_token: 'b', merges: undefined, vocab: Object.fromEntries([['a', 0], ['b', 1], ['c', 2], ...Array.from({ length: 250 }, (_, i) => ['a'.repeat(i + 2), i + 3])]) }), works({ tokens: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] }), { encode: 'a'.repeat(251) }),
  tokenizer('an added token of 300 letters', whole({ added_tokens: [added(3, 'x'.repeat(300))] }), badTokenizer('added_tokens', 'texts of 1 to 256 bytes', 'one of 300')),
  tokenizer('added tokens that take the same spaces, where the library panics', whole({ added_tokens: [added(3, 'x', { rstrip: true }), added(4, '  ', { lstrip: true })] }), badTokenizer('added_tokens', 'none with `lstrip` that begins with a space', '"  " beside one that takes the spaces after it'), { prompt: 'x      a' }),
  hostile('tokenizer: a million added tokens', 'qwen2-bf16', repeat(T, '{"added_tokens":[{"id":0,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}', ',{"id":{i},"content":"<{i}>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}', 1000000, '],"model":{"type":"BPE","vocab":{"a":1000001},"merges":[]}}'), badTokenizer('added_tokens', 'at most 262144', '1000001')),
  hostile('tokenizer config: a token with another id', 'qwen2-bf16', text(TC, '{"added_tokens_decoder": {"9": {"content": "<s>", "special": true}}}'), badTokenizer('added token "<s>"', 'the id 1 it has in the vocabulary', '9')),
  hostile('tokenizer config: a token with an id of 2^32 - 1', 'qwen2-bf16', text(TC, '{"added_tokens_decoder": {"4294967295": {"content": "<new>"}}}'), badTokenizer('added token "<new>"', 'the id 320 it has in the vocabulary', '4294967295')),
  hostile('tokenizer config: a token with a negative id', 'qwen2-bf16', text(TC, '{"added_tokens_decoder": {"-1": {"content": "<new>"}}}'), badFile(TC, 'added_tokens_decoder', 'ids from 0 to 4294967295', '"-1"')),
  hostile('tokenizer config: a token that is a number', 'qwen2-bf16', text(TC, '{"bos_token": 1}'), badFile(TC, 'bos_token', 'the text of a token, or an object with its text in `content`', '1')),
  hostile('tokenizer config: cut off', 'qwen2-bf16', keep(TC, 50), badFile(TC, 'line 3, column 0', 'sound JSON', '“EOF while parsing a value”')),
  hostile('tokenizer config: nested 10,000 deep', 'qwen2-bf16', repeat(TC, '{"chat_template":', '[', 10000, ''), badFile(TC, 'line 1, column 144', 'sound JSON', '“recursion limit exceeded”')),
  hostile('tokenizer config: a field that occurs twice', 'qwen2-bf16', text(TC, '{"bos_token": "<s>", "bos_token": "</s>"}'), badFile(TC, 'line 1, column 32', 'sound JSON', '“the key "bos_token" stands twice”')),
  hostile('special tokens map: a token that is a number', 'qwen2-bf16', text('special_tokens_map.json', '{"eos_token": 1}'), badFile('special_tokens_map.json', 'eos_token', 'the text of a token, or an object with its text in `content`', '1')),
  hostile('special tokens map: not read beside added tokens', 'qwen2-bf16', [text(TC, '{"added_tokens_decoder": {}}'), text('special_tokens_map.json', '{')], works()),
  hostile('added tokens: a token with another id', 'qwen2-bf16', text('added_tokens.json', '{"<new>": 7}'), badTokenizer('added token "<new>"', 'the id 320 it has in the vocabulary', '7')),

  // Normalizers, pre-tokenizers, decoders, post-processors.
  tokenizer('an unknown normalizer', whole({ normalizer: { type: 'Imaginary' } }), badTokenizer('normalizer.type', 'one of BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, Replace, Sequence, Strip, StripAccents', '"Imaginary"')),
  tokenizer('a character map that is not base64, where the library panics', charsmap('?'), badTokenizer(CHARSMAP, 'base64', 'something else')),
  tokenizer('a character map with bits to spare', charsmap('AAAAAB=='), badTokenizer(CHARSMAP, 'base64', 'something else')),
  tokenizer('a character map that is too short, where the library panics', charsmap('AAAA'), badTokenizer(CHARSMAP, TABLE, 'no length')),
  tokenizer('a character map that is not there, where the library panics', whole({ normalizer: { type: 'Precompiled' } }), badTokenizer(CHARSMAP, TABLE, 'no length')),
  tokenizer('a character map of 3 MB', charsmap('A'.repeat(4 << 20)), badTokenizer(CHARSMAP, 'at most 1048576 bytes', '3145728')),
  tokenizer('a character map without a trie, where the library panics', charsmap(table([])), badTokenizer(CHARSMAP, TABLE, 'an empty trie')),
  tokenizer('a character map with a trie that is longer than it', charsmap(base64([400, 0, 0, 0, 1, 2, 3])), badTokenizer(CHARSMAP, TABLE, 'a trie that is longer than the table')),
  tokenizer('a character map that leads out of itself, where the library panics', charsmap(table([1 << 10])), badTokenizer(CHARSMAP, TABLE, 'a trie that leads out of itself'), { encode: 'aa' }),
  tokenizer('a character map with a replacement in a character, where the library panics', charsmap(table(trie(1), 'é')), badTokenizer(CHARSMAP, TABLE, 'a replacement that does not begin where a character does'), { encode: 'ab' }),
  tokenizer('a character map with a replacement that is not there, where the library panics', charsmap(table(trie(9), 'b')), badTokenizer(CHARSMAP, TABLE, 'a replacement that does not begin where a character does'), { encode: 'ab' }),
  tokenizer('a character map with replacements that are not text', charsmap(table(trie(0), [0xff])), badTokenizer(CHARSMAP, TABLE, 'replacements that are not UTF-8')),
  tokenizer('a character map that makes a text 5,000 times longer', charsmap(table(trie(0), 'b'.repeat(5000))), badTokenizer('normalizer', 'stages that make a text at most 4096 times longer', 'stages that may make it longer than that'), { encode: 'aaaa' }),
  tokenizer('a character map that leads back to itself', charsmap(table(loop(), 'b')), works({ tokens: [1, 1] }), { encode: 'aa' }),
  tokenizer('a character map that turns a into b', charsmap(table(trie(0), 'b')), works({ tokens: [1, 1] }), { encode: 'ab' }),
  tokenizer('bytes of bytes of bytes', whole({ pre_tokenizer: { type: 'Sequence', pretokenizers: Array(40).fill({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false }) } }), badTokenizer('pre_tokenizer', 'stages that make a text at most 4096 times longer', 'stages that may make it longer than that'), { encode: 'é' }),
  tokenizer('text that only grows', whole({ normalizer: { type: 'Sequence', normalizers: Array(40).fill(replacing({ String: 'a' }, 'aa')) } }), badTokenizer('normalizer', 'stages that make a text at most 4096 times longer', 'stages that may make it longer than that'), { encode: 'aaaa' }),
  tokenizer('an empty text to replace', whole({ normalizer: replacing({ String: '' }) }), badTokenizer('normalizer.pattern', 'some text', 'none'), { encode: 'éé' }),
  tokenizer('pieces of length 0, where the library panics', whole({ pre_tokenizer: { type: 'FixedLength', length: 0 } }), badTokenizer('pre_tokenizer', 'a length above 0', '0')),
  tokenizer('a decoder that is unknown', whole({ decoder: { type: 'Imaginary' } }), badTokenizer('decoder.type', 'one of ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Sequence, Strip, WordPiece', '"Imaginary"')),
  tokenizer('a decoder without a type, where the library panics', whole({ decoder: {} }), badTokenizer('decoder', 'null or an object with a type', '{}')),
  tokenizer('a decoder that is a number, where the library panics', whole({ decoder: 1 }), badTokenizer('decoder', 'null or an object with a type', '1')),
  tokenizer('a decoder that strips more than there is, where the library panics', whole({ decoder: { type: 'Strip', content: ' ', start: 0, stop: 9 } }), badTokenizer('decoder', 'a sequence of stages that Fireside supports', 'Strip at the end'), { decode: [0] }),
  tokenizer('a decoder for speech', whole({ decoder: { type: 'CTC', pad_token: '<pad>', word_delimiter_token: '|', cleanup: true } }), badTokenizer('decoder.type', 'one of ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Sequence, Strip, WordPiece', '"CTC"')),
  tokenizer('a template with an unknown token, where the library panics', template([{ SpecialToken: { id: '<x>', type_id: 0 } }]), badTokenizer('post_processor.special_tokens', 'the token "<x>" of the template', 'none')),
  tokenizer('a template for the second of two texts, where the library panics', template([{ Sequence: { id: 'B', type_id: 0 } }]), badTokenizer('post_processor.single', 'the sequence A', '{"Sequence":{"id":"B","type_id":0}}')),
  tokenizer('a template without the text', template([{ SpecialToken: { id: '<s>', type_id: 0 } }], { '<s>': { id: '<s>', ids: [3], tokens: ['<s>'] } }), badTokenizer('post_processor.single', 'the sequence A once', '0 times'), { prompt: 'ab' }),
  tokenizer('a template of 10,000 ids', template([...Array(100).fill({ SpecialToken: { id: '<s>', type_id: 0 } }), { Sequence: { id: 'A', type_id: 0 } }], { '<s>': { id: '<s>', ids: Array(100).fill(3), tokens: ['<s>'] } }), badTokenizer('post_processor.special_tokens', 'at most 1000 ids around a text', '10000')),
  tokenizer('a template with an id beyond the vocabulary', template([{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }], { '<s>': { id: '<s>', ids: [99], tokens: ['<s>'] } }), badTokenizer('post_processor', 'ids below 4', '99')),
  tokenizer('a template with more ids than tokens', template([{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }], { '<s>': { id: '<s>', ids: [3, 3], tokens: ['<s>'] } }), works()),
  tokenizer('ids that the tokenizer does not have', whole(), badInput('token', 'an id below 4, the size of the vocabulary', '4294967295'), { decode: [0, 4294967295] }),

  // Patterns.
  tokenizer('an invalid pattern', split('(a'), badTokenizer('pre_tokenizer.pattern', SEARCHABLE, '“(a” (a group does not end)')),
  tokenizer('a pattern nested 1,000 deep', split(`${'('.repeat(1000)}a${')'.repeat(1000)}`), badTokenizer('pre_tokenizer.pattern', SEARCHABLE, '“((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((...” (groups are nested more than 60 deep)')),
  tokenizer('conditions in conditions, 2^50 of them', split(`${'(?('.repeat(50)}a${')b)'.repeat(50)}`), unsupported(T, 'pre_tokenizer.pattern', 'patterns without it', `“${'(?('.repeat(20)}...”, with a condition inside the condition of another`)),
  tokenizer('a repeat of a repeat, 4,000 deep', split(`a${'*'.repeat(4000)}`), badTokenizer('pre_tokenizer.pattern', SEARCHABLE, `“a${'*'.repeat(59)}...” (more than 60 repeats are of repeats)`)),
  tokenizer('a reference to the whole pattern', split('a\\k<0>'), badTokenizer('pre_tokenizer.pattern', SEARCHABLE, '“a\\k<0>” (<0> is no group)')),
  tokenizer('a reference to the group before the first', split('(a)\\k<-2>'), badTokenizer('pre_tokenizer.pattern', SEARCHABLE, '“(a)\\k<-2>” (<-2> is no group)')),
  tokenizer('a condition of the whole pattern', split('(?(0)a|b)'), badTokenizer('pre_tokenizer.pattern', SEARCHABLE, '“(?(0)a|b)” (<0> is no group)')),
  tokenizer('a pattern of 5^6 states', split('a{5}{5}{5}{5}{5}{5}'), works(), { encode: 'aab' }),
  tokenizer('a pattern of 10^9 states', split('(?:(?:a{1000}){1000}){1000}'), badTokenizer('pre_tokenizer.pattern', SEARCHABLE, '“(?:(?:a{1000}){1000}){1000}” (Error compiling regex: Regex error: error building NFA)')),
  tokenizer('a pattern of 10^9 states with a look-ahead', split('(?:(?:(?:a(?!c)){1000}){1000}){1000}'), works(), { encode: 'aab' }),
  tokenizer('a pattern of 5,000 letters', split('a'.repeat(5000)), badTokenizer('pre_tokenizer.pattern', 'at most 4096 bytes', '5000')),
  tokenizer('patterns of 9,000 letters in all', whole({ pre_tokenizer: { type: 'Sequence', pretokenizers: Array(3).fill(split('[ab]'.repeat(750)).pre_tokenizer) } }), badTokenizer('pre_tokenizer.pattern', 'at most 8192 bytes in all', '9000')),
  tokenizer('(a+)+$, which is a plain regular expression', split('(a+)+$'), works({ tokens: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2] }), { encode: `${'a'.repeat(40)}b` }),
  tokenizer('(a+)+ with a look-ahead, which takes 2^n steps', split('(?:a+)+(?!a)(?=c)'), badTokenizer('pre_tokenizer.pattern', 'one that a text takes few steps to match', '“(?:a+)+(?!a)(?=c)”'), { encode: `${'a'.repeat(40)}b` }),
  tokenizer('(a+)+ with a back-reference, which takes 2^n steps', split('(b?)(?:a+)+\\1c'), badTokenizer('pre_tokenizer.pattern', 'one that a text takes few steps to match', '“(b?)(?:a+)+\\1c”'), { encode: `${'a'.repeat(40)}b` }),
  tokenizer('nested look-arounds', split('(?=(?=(?=(?:a+)+c)))a'), works({ tokens: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2] }), { encode: `${'a'.repeat(40)}b` }),
  tokenizer('a published pattern and 3,000 spaces', whole({ added_tokens: [], pre_tokenizer: split(LLAMA3).pre_tokenizer }, { vocab: { a: 0, b: 1, ab: 2, ' ': 3 } }), works(), { encode: `a${' '.repeat(3000)}b` }),
  tokenizer('a look-behind of any length', split('(?<=a*)b'), works(), { encode: 'aab' }),
  tokenizer('a pattern that takes n^4 steps', split('(?:a*a*a*a*)(?!a)c'), badTokenizer('pre_tokenizer.pattern', 'one that a text takes few steps to match', '“(?:a*a*a*a*)(?!a)c”'), { encode: 'a'.repeat(1000) }),
  hostile('tokenizer: a normalizer that takes 2^n steps', 'qwen2-bf16', file(whole({ normalizer: replacing({ Regex: '(?:a+)+(?!a)(?=c)' }) })), badTokenizer('normalizer.pattern', 'a regular expression without look-arounds and references', '"(?:a+)+(?!a)(?=c)"'), { encode: `${'a'.repeat(40)}b` }),
  tokenizer('a decoder that takes 2^n steps', whole({ decoder: replacing({ Regex: '(?:a+)+(?!a)(?=c)' }) }, { vocab: { a: 0, b: 1, ab: 2, [`${'a'.repeat(40)}b`]: 4 } }), badTokenizer('decoder.pattern', 'a regular expression without look-arounds and references', '"(?:a+)+(?!a)(?=c)"'), { decode: [4] }),
  tokenizer('brackets nested 1,000 deep', split(`${'['.repeat(1000)}a${']'.repeat(1000)}`), badTokenizer('pre_tokenizer.pattern', SEARCHABLE, `“${'['.repeat(60)}...” (brackets are nested more than 30 deep)`)),
  tokenizer('a pattern that calls a group 2^19 times', split(`(a)${Array.from({ length: 19 }, (_, n) => `(\\g<${n + 1}>\\g<${n + 1}>)`).join('')}`), badTokenizer('pre_tokenizer.pattern', SEARCHABLE, '“(a)(\\g<1>\\g<1>)(\\g<2>\\g<2>)(\\g<3>\\g<3>)(\\g<4>\\g<4>)(\\g<5>\\g<...” (it is too long when its groups are written out)')),
  tokenizer('a pattern that ignores the case of 60 f', split(`(?i:${'f'.repeat(60)})`), badTokenizer('pre_tokenizer.pattern', SEARCHABLE, `“(?i:${'f'.repeat(56)}...” (it ignores the case of too many characters)`)),
  tokenizer('a pattern of 100 edges of words', split('\\b'.repeat(100)), badTokenizer('pre_tokenizer.pattern', SEARCHABLE, `“${'\\b'.repeat(30)}...” (it is too long when its groups are written out)`)),
  tokenizer('100 patterns of 20 edges of words', whole({ pre_tokenizer: { type: 'Sequence', pretokenizers: Array(100).fill(split('\\b'.repeat(20)).pre_tokenizer) } }), badTokenizer('pre_tokenizer.pattern', 'at most 16384 bytes in all, where groups and places are written out', '16740')),
  tokenizer('a pattern that calls itself', split('(?<x>a\\g<x>?b)'), unsupported(T, 'pre_tokenizer.pattern', 'patterns without it', '“(?<x>a\\g<x>?b)”, with a group that calls itself')),
  tokenizer('a pattern with the edge of a text segment', split('\\ya'), unsupported(T, 'pre_tokenizer.pattern', 'patterns without it', '“\\ya”, with \\y, the edge of a text segment')),
  tokenizer('a pattern that repeats 10^9 times', split('a{1000000000}'), badTokenizer('pre_tokenizer.pattern', SEARCHABLE, '“a{1000000000}” (a repeat above 100000)')),
  tokenizer('patterns one inside the other', whole({ pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Sequence', pretokenizers: [split('(?:a+)+(?!a)(?=c)').pre_tokenizer] }] } }), badTokenizer('pre_tokenizer.pattern', 'one that a text takes few steps to match', '“(?:a+)+(?!a)(?=c)”'), { encode: `${'a'.repeat(40)}b` }),
];
