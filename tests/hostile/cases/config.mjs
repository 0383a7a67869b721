// config.json and generation_config.json: fields that are missing, out of range, contradictory or not
// supported.

import { badFile, hostile, repeat, replace, text, unsupported, works } from '../write.mjs';

const C = 'config.json';
const G = 'generation_config.json';
const DIM = 'a whole number from 1 to 1048576';
const LAYERS = 'a whole number from 1 to 1024';
const VOCAB = 'a whole number from 1 to 16777216';
const EPS = 'a number above 0 and at most 1';
const THETA = 'a number above 0';

const config = (name, edits, outcome, base = 'qwen2-bf16') => hostile(`config: ${name}`, base, edits, outcome);
/** A field with another value, and the error about it. */
const field = (name, was, is, expected, got = is) => [replace(C, `"${name}": ${was}`, `"${name}": ${is}`), badFile(C, name, expected, got)];
/** Adds a field. */
const more = (json) => replace(C, '{', `{\n  ${json},`);
const without = (name, was, expected) => config(`without ${name}`, replace(C, `  "${name}": ${was},\n`, ''), badFile(C, name, expected, 'nothing'));

export default [
  without('hidden_size', 48, DIM),
  without('intermediate_size', 96, DIM),
  without('num_hidden_layers', 2, LAYERS),
  without('num_attention_heads', 4, DIM),
  config('without vocab_size', replace(C, ',\n  "vocab_size": 328', ''), badFile(C, 'vocab_size', VOCAB, 'nothing')),
  config('cut off', text(C, '{'), badFile(C, 'line 1, column 1', 'sound JSON', '“EOF while parsing an object”')),
  config('a list', text(C, '[]'), badFile(C, 'the whole file', 'a JSON object', '[]')),
  config('a comma too many', replace(C, '328\n', '328,\n'), badFile(C, 'line 32, column 1', 'sound JSON', '“trailing comma”')),
  config('a field that occurs twice', more('"vocab_size": 1'), badFile(C, 'line 32, column 14', 'sound JSON', '“the key "vocab_size" stands twice”')),
  config('a field that occurs twice, once with an escape', more('"\\u0076ocab_size": 1'), badFile(C, 'line 32, column 14', 'sound JSON', '“the key "vocab_size" stands twice”')),
  config('a list nested 10,000 deep', repeat(C, '{"a":', '[', 10000, ''), badFile('config.json', 'line 1, column 132', 'sound JSON', '“recursion limit exceeded”')),
  config('not UTF-8', { file: C, at: 10, hex: 'ff' }, badFile(C, 'byte 10', 'UTF-8 text', 'the byte 0xff')),
  config('an unknown model type', replace(C, '"qwen2"', '"gpt2"'), unsupported(C, 'model_type', 'llama, mistral, qwen2, qwen3, smollm3', 'gpt2')),
  config('an unknown architecture without a model type', [replace(C, 'Qwen2ForCausalLM', 'GPT2LMHeadModel'), replace(C, '"qwen2"', 'null')], unsupported(C, 'architectures', 'LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, SmolLM3ForCausalLM', '["GPT2LMHeadModel"]')),
  config('neither a model type nor an architecture', [replace(C, '"Qwen2ForCausalLM"', ''), replace(C, '"qwen2"', 'null')], badFile(C, 'model_type', 'one of llama, mistral, qwen2, qwen3, smollm3', 'nothing')),
  config('an architecture that the model type contradicts, which is ignored', replace(C, 'Qwen2ForCausalLM', 'LlamaForCausalLM'), works()),
  config('zero layers', ...field('num_hidden_layers', 2, '0', LAYERS)),
  config('10^9 layers', ...field('num_hidden_layers', 2, '1000000000', LAYERS)),
  config('half a layer', ...field('num_hidden_layers', 2, '2.5', LAYERS)),
  config('a negative width', ...field('hidden_size', 48, '-48', DIM)),
  config('a width of 2^32 + 48, which 32 bits would take for 48', ...field('hidden_size', 48, '4294967344', DIM)),
  config('a width of 2^31 in the MLP', ...field('intermediate_size', 96, '2147483648', DIM)),
  config('a width that is text', ...field('hidden_size', 48, '"48"', DIM)),
  config('a vocabulary of 0', ...field('vocab_size', 328, '0', VOCAB)),
  config('a vocabulary of 2^64', ...field('vocab_size', 328, '18446744073709551616', VOCAB, '1.8446744073709552e+19')),
  config('a vocabulary smaller than the tokenizer', replace(C, '"vocab_size": 328', '"vocab_size": 300'), badFile('model.safetensors', 'tensor model.embed_tokens.weight', 'shape [300, 48]', 'shape [328, 48]')),
  config('a context of 0', ...field('max_position_embeddings', 512, '0', 'a whole number from 1 to 1073741824')),
  config('zero heads', ...field('num_attention_heads', 4, '0', DIM)),
  config('zero heads of keys', ...field('num_key_value_heads', 2, '0', DIM)),
  config('heads of keys that do not divide the heads', ...field('num_key_value_heads', 2, '3', 'a divisor of the 4 attention heads')),
  config('heads that do not divide the width', [replace(C, '"num_attention_heads": 4', '"num_attention_heads": 7'), replace(C, '"num_key_value_heads": 2', '"num_key_value_heads": 7')], badFile(C, 'hidden_size', 'a multiple of the 7 attention heads, or a `head_dim`', '48')),
  config('heads of an odd width', more('"head_dim": 7'), badFile(C, 'head_dim', 'an even number, as rope turns pairs', '7')),
  config('heads and their width that make 2^40', [more('"head_dim": 1048576'), replace(C, '"num_attention_heads": 4', '"num_attention_heads": 1048576')], badFile(C, 'num_attention_heads x head_dim', 'at most 1048576', '1048576 x 1048576')),
  config('an epsilon of 0', ...field('rms_norm_eps', '1e-06', '0', EPS)),
  config('an epsilon that is 0 in f32', ...field('rms_norm_eps', '1e-06', '1e-50', EPS, '9.999999999999999e-51')),
  config('an epsilon of NaN', ...field('rms_norm_eps', '1e-06', 'NaN', EPS, '"NaN"')),
  config('an epsilon of infinity', ...field('rms_norm_eps', '1e-06', '1e999', EPS, '"Infinity"')),
  config('a NaN in a field of training', replace(C, '0.02', 'NaN'), works()),
  config('a NaN that is not spelt as in Python', replace(C, '0.02', 'nan'), badFile(C, 'line 13, column 25', 'sound JSON', '“expected ident”')),
  config('a theta of 0', ...field('rope_theta', '10000.0', '0.0', THETA)),
  config('a theta below 0', ...field('rope_theta', '10000.0', '-1.5', THETA)),
  config('another activation', replace(C, '"silu"', '"gelu"'), unsupported(C, 'hidden_act', 'silu', '"gelu"')),
  config('YaRN', replace(C, '"rope_scaling": null', '"rope_scaling": {"rope_type": "yarn", "factor": 4.0}'), unsupported(C, 'rope_scaling.rope_type', 'default, llama3', '"yarn"')),
  config('an unknown kind of rope', replace(C, '"rope_scaling": null', '"rope_scaling": {"type": "spiral"}'), unsupported(C, 'rope_scaling.type', 'default, llama3', '"spiral"')),
  config('Llama 3 rope without its factors', replace(C, '"rope_scaling": null', '"rope_scaling": {"rope_type": "llama3"}'), badFile(C, 'rope_scaling.factor', 'a number of at least 1', 'nothing')),
  config('Llama 3 rope with factors the wrong way round', replace(C, '"rope_scaling": null', '"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1}'), badFile(C, 'rope_scaling.high_freq_factor', 'a number above low_freq_factor, which is 4', '1')),
  config('two kinds of rope, of which rope_scaling counts', [more('"rope_parameters": {"rope_type": "default"}'), replace(C, '"rope_scaling": null', '"rope_scaling": {"rope_type": "llama3"}')], badFile(C, 'rope_scaling.factor', 'a number of at least 1', 'nothing')),
  config('quantised weights', more('"quantization_config": {"quant_method": "awq"}'), unsupported(C, 'quantization_config', 'null', '{"quant_method":"awq"}')),
  config('experts', more('"num_experts": 8'), unsupported(C, 'num_experts', 'null', '8')),
  config('a sliding window where the family has none', more('"sliding_window": 128'), unsupported(C, 'sliding_window', 'null for LlamaForCausalLM', '128'), 'llama-sharded-bf16'),
  config('kinds of layers for more layers than there are', more('"layer_types": ["full_attention"]'), badFile(C, 'layer_types', 'an entry for each of 2 layers', '1 entries')),
  config('an untied head without a tensor', replace(C, '"tie_word_embeddings": true', '"tie_word_embeddings": false'), badFile('model.safetensors', 'tensor lm_head.weight', 'a tensor of shape [328, 48]', 'nothing')),
  config('a truth value that is a number', ...field('tie_word_embeddings', 'true', '1', 'true or false')),
  config('a token id that is text', replace(C, '"bos_token_id": 1', '"bos_token_id": "<s>"'), badFile(C, 'bos_token_id', 'a token id, a list of them or null', '"<s>"')),
  config('an end beyond the vocabulary, ignored as by transformers', replace(C, '"eos_token_id": [\n    2,', '"eos_token_id": [\n    2000000000000,'), {}),
  // Bad defaults that a caller can override stop no load. They are ignored and listed.
  ...['{"temperature": -1}', '{"top_p": "all"}', '{"top_k": -1}', '{"repetition_penalty": 0}', '{"temperature": NaN}', '{"eos_token_id": [[1]]}', 'null', '{'].map((json) =>
    hostile(`generation config: ${json}`, 'qwen2-bf16', text(G, json), {}),
  ),
  hostile('generation config: deep nesting', 'qwen2-bf16', repeat(G, '', '[', 100_000, ''), {}),
];
