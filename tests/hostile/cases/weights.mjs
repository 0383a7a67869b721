// Weight files: headers, offsets, shapes, values, the index of several files.

import { append, badFile, badInput, header, hostile, keep, patch, remove, repeat, replace, text, unsupported, works } from '../write.mjs';

const M = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const EMBED = '"model.embed_tokens.weight":{"dtype":"BF16","shape":[328,48],"data_offsets":[0,31488]}';
const NORM0 = '"model.layers.0.input_layernorm.weight":{"dtype":"BF16","shape":[48],"data_offsets":[31488,31584]}';
const UP1 = 'model.layers.1.mlp.up_proj.weight';
const JSON_HEADER = 'the JSON of a safetensors header';

const single = (name, edits, outcome, then) => hostile(`safetensors: ${name}`, 'qwen2-bf16', edits, outcome, then);
const length = (bytes, shown) => [patch(M, 0, bytes), badFile(M, 'bytes 0 to 7', 'a header length from 2 to 16777216', shown)];
const sharded = (name, edits, outcome) => hostile(`index: ${name}`, 'llama-sharded-bf16', edits, outcome);
const shardName = (name) => [
  replace(INDEX, '"lm_head.weight": "model-00003-of-00003.safetensors"', `"lm_head.weight": ${JSON.stringify(name)}`),
  badFile(INDEX, 'weight_map, lm_head.weight', 'a plain file name that ends in .safetensors', JSON.stringify(name)),
];

export default [
  single('seven bytes', keep(M, 7), badFile(M, 'the whole file', 'at least 9 bytes for the header', '7 bytes')),
  single('a header length of 0', ...length('0000000000000000', '0')),
  single('a header length of 1', ...length('0100000000000000', '1')),
  single('a header length of 2^31', ...length('0000008000000000', '2147483648')),
  single('a header length of 2^32 + 2640, which 32 bits would take for the right one', ...length('500a000001000000', '4294969936')),
  single('a header length of 2^63', ...length('0000000000000080', '9223372036854775808')),
  single('a header length of 2^64 - 1', ...length('ffffffffffffffff', '18446744073709551615')),
  single('a header length of 100,000,001, one more than the reference takes', ...length('01e1f50500000000', '100000001')),
  single('a header longer than the file', patch(M, 0, '0000200000000000'), badFile(M, 'the whole file', 'at least 2097160 bytes for the header', '117944 bytes')),
  single('a truncated header', keep(M, 100), badFile(M, 'the whole file', 'at least 2648 bytes for the header', '100 bytes')),
  single('a header that is only a brace', header.text(M, '{ '), badFile(M, 'header, line 1, column 2', JSON_HEADER, '“EOF while parsing an object”')),
  single('a header that is not JSON', header.text(M, '{what}'), badFile(M, 'header, line 1, column 2', JSON_HEADER, '“key must be a string”')),
  single('a header that is a list', header.text(M, '[1]'), badFile(M, 'byte 8', 'the `{` of the header', 'the byte 0x5b')),
  single('a header that is not UTF-8', patch(M, 20, 'ff'), badFile(M, 'header, byte 12', 'UTF-8 text', 'the byte 0xff')),
  single('a space before the header', header.replace(M, '{', ' {'), badFile(M, 'byte 8', 'the `{` of the header', 'the byte 0x20')),
  single('a byte order mark before the header', header.replace(M, '{', '\ufeff{'), badFile(M, 'byte 8', 'the `{` of the header', 'the byte 0xef')),
  single('spaces after the header, as the format allows', header.append(M, '2020202020'), works()),
  single('a NUL after the header', header.append(M, '00'), badFile(M, 'header, line 1, column 2641', JSON_HEADER, '“trailing characters”')),
  single('a tensor that occurs twice', header.replace(M, NORM0, `${NORM0},${EMBED.replace('[0,31488]', '[31488,62976]')}`), badFile(M, 'tensor model.embed_tokens.weight', 'one entry in the header', 'two')),
  single('a tensor that occurs twice with the same offsets', header.replace(M, NORM0, `${NORM0},${EMBED}`), badFile(M, 'tensor model.embed_tokens.weight', 'one entry in the header', 'two')),
  single('a tensor that occurs twice, once with an escape', header.replace(M, NORM0, `${NORM0},${EMBED.replace('"m', '"\\u006d')}`), badFile(M, 'tensor model.embed_tokens.weight', 'one entry in the header', 'two')),
  single('a dtype that occurs twice', header.replace(M, '"dtype":"BF16"', '"dtype":"BF16","dtype":"F32"'), badFile(M, 'header, line 1, column 83', JSON_HEADER, '“duplicate field `dtype`”')),
  single('offsets that occur twice, once with an escape', header.replace(M, '"data_offsets"', '"data_offsets":[0,2],"\\u0064ata_offsets"'), badFile(M, 'header, line 1, column 133', JSON_HEADER, '“duplicate field `data_offsets`”')),
  single('an unknown field of a tensor, skipped as by the reference', header.replace(M, '"dtype":"BF16"', '"dtype":"BF16","layout":[1]'), works()),
  single('offsets the wrong way round', header.replace(M, '[0,31488]', '[31488,0]'), badFile(M, 'tensor model.embed_tokens.weight', 'data that ends after it begins', 'data_offsets [31488, 0]')),
  single('a negative offset', header.replace(M, '[0,31488]', '[-1,31488]'), badFile(M, 'header, line 1, column 111', JSON_HEADER, '“invalid value: integer `-1`, expected u64”')),
  single('a fractional offset', header.replace(M, '[0,31488]', '[0.5,31488]'), badFile(M, 'header, line 1, column 112', JSON_HEADER, '“invalid type: floating point `0.5`, expected u64”')),
  single('an offset with an exponent', header.replace(M, '[0,31488]', '[0,3e4]'), badFile(M, 'header, line 1, column 114', JSON_HEADER, '“invalid type: floating point `30000.0`, expected u64”')),
  single('an offset of 2^64', header.replace(M, '[0,31488]', '[0,18446744073709551616]'), badFile(M, 'header, line 1, column 131', JSON_HEADER, '“invalid type: floating point `1.8446744073709552e+19`, expected u64”')),
  single('overlapping tensors', header.replace(M, '[31488,31584]', '[31392,31488]'), badFile(M, 'tensor model.layers.0.input_layernorm.weight', 'data from byte 31488', 'data from byte 31392: an overlap with the tensor before it')),
  single('a hole between tensors', header.replace(M, `${NORM0},`, ''), badFile(M, 'tensor model.layers.0.mlp.down_proj.weight', 'data from byte 31488', 'data from byte 31584: a hole before it')),
  single('a first tensor that does not begin at 0', header.replace(M, `${EMBED},`, ''), badFile(M, 'tensor model.layers.0.input_layernorm.weight', 'data from byte 0', 'data from byte 31488: a hole before it')),
  single('entries in another order than their data', header.replace(M, `${EMBED},${NORM0}`, `${NORM0},${EMBED}`), works()),
  single('offsets beyond the end of the file', keep(M, 60000), badFile(M, 'the whole file', '117944 bytes', '60000 bytes')),
  single('one byte too few', keep(M, -1), badFile(M, 'the whole file', '117944 bytes', '117943 bytes')),
  single('one byte too many', append(M, '00'), badFile(M, 'byte 117944', 'the end of the file', 'more bytes')),
  single('a ZIP archive after the data', append(M, '504b0506000000000000000000000000000000000000'), badFile(M, 'byte 117944', 'the end of the file', 'more bytes')),
  single('a shape whose product overflows 64 bits', header.replace(M, '[328,48]', '[4194305,4194305,211106198978564]'), badFile(M, 'tensor model.embed_tokens.weight', 'fewer than 2^64 bits', 'BF16 [4194305, 4194305, 211106198978564]')),
  single('a shape whose product is right modulo 2^32', header.replace(M, '[328,48]', '[328,268435504]'), badFile(M, 'tensor model.embed_tokens.weight', '176093690624 bytes for BF16 [328, 268435504]', '31488 bytes')),
  single('a shape that makes other bytes', header.replace(M, '[328,48]', '[328,49]'), badFile(M, 'tensor model.embed_tokens.weight', '32144 bytes for BF16 [328, 49]', '31488 bytes')),
  single('a shape with a negative dimension', header.replace(M, '[328,48]', '[-328,-48]'), badFile(M, 'header, line 1, column 89', JSON_HEADER, '“invalid value: integer `-328`, expected u64”')),
  single('a tensor of 8 GiB that nobody needs and the file does not hold', header.replace(M, '{"__metadata__"', '{"model.layers.0.self_attn.rotary_emb.inv_freq":{"dtype":"F32","shape":[2147483648],"data_offsets":[115296,8590049888]},"__metadata__"'), badFile(M, 'the whole file', '8590052655 bytes', '118063 bytes')),
  single('empty tensors that share an offset', header.replace(M, NORM0, `${NORM0},"a.rotary_emb.inv_freq":{"dtype":"F32","shape":[0],"data_offsets":[31488,31488]},"b.rotary_emb.inv_freq":{"dtype":"F32","shape":[0,5],"data_offsets":[31488,31488]}`), works()),
  single('a dtype that does not exist', header.replace(M, '"dtype":"BF16"', '"dtype":"F7"'), unsupported(M, 'the dtype of tensor model.embed_tokens.weight', 'F32, F16, BF16, F64', 'F7')),
  single('a dtype of integers', header.replace(M, '"dtype":"BF16"', '"dtype":"I16"'), unsupported(M, 'the dtype of tensor model.embed_tokens.weight', 'F32, F16, BF16, F64', 'I16')),
  single('F4 with half a byte', header.replace(M, NORM0, NORM0.replace('"BF16","shape":[48]', '"F4","shape":[191]')), badFile(M, 'tensor model.layers.0.input_layernorm.weight', 'whole bytes', 'F4 [191], which is 764 bits')),
  single('metadata that is not text', header.replace(M, '"format":"pt"', '"format":1'), badFile(M, 'header, line 1, column 27', JSON_HEADER, '“invalid type: integer `1`, expected a string”')),
  single('metadata that is a list', header.replace(M, '{"format":"pt"}', '[]'), badFile(M, 'header, line 1, column 16', JSON_HEADER, '“invalid type: sequence, expected a map”')),
  single('a tensor without a name', header.replace(M, '"model.embed_tokens.weight"', '""'), badFile(M, 'tensor model.embed_tokens.weight', 'a tensor of shape [328, 48]', 'nothing')),
  single('a tensor with a path for a name, which is never used as one', header.replace(M, '"model.embed_tokens.weight"', '"../../../etc/passwd"'), badFile(M, 'tensor model.embed_tokens.weight', 'a tensor of shape [328, 48]', 'nothing')),
  single('a million tensors', header.repeat(M, '{"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}', ',"t{i}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}', 1000000, '}'), badFile(M, 'bytes 0 to 7', 'a header length from 2 to 16777216', '58888944')),
  single('a header of 16 MB with 280,000 tensors', header.repeat(M, '{"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}', ',"t{i}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}', 280000, '}'), badFile(M, 'tensor model.embed_tokens.weight', 'a tensor of shape [328, 48]', 'nothing')),
  single('a header nested 10,000 deep', header.repeat(M, '{"a":', '[', 10000, ''), badFile(M, 'header, line 1, column 6', JSON_HEADER, '“invalid type: sequence, expected a string”')),
  single('a value nested 10,000 deep where it would be skipped', header.repeat(M, '{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0],"x":', '[', 10000, ''), badFile(M, 'header, line 1, column 10057', JSON_HEADER, '“EOF while parsing a list”')),

  single('a tensor that is missing', header.replace(M, `"${UP1}"`, '"model.layers.1.mlp.upproj.weight"'), badFile(M, `tensor ${UP1}`, 'a tensor of shape [96, 48]', 'nothing')),
  single('a tensor of a layer that is missing', replace('config.json', '"num_hidden_layers": 2', '"num_hidden_layers": 3'), badFile(M, 'tensor model.layers.2.input_layernorm.weight', 'a tensor of shape [48]', 'nothing')),
  single('tensors of one layer too many, which are skipped', replace('config.json', '"num_hidden_layers": 2', '"num_hidden_layers": 1'), works()),
  single('a bias that config.json does not ask for', header.replace(M, '"model.layers.0.input_layernorm.weight":', '"model.layers.0.mlp.up_proj.bias":'), badFile(M, 'tensor model.layers.0.input_layernorm.weight', 'a tensor of shape [48]', 'nothing')),
  single('a norm that config.json does not ask for', header.replace(M, '"model.layers.0.input_layernorm.weight":', '"model.layers.0.self_attn.q_norm.weight":'), badFile(M, 'tensor model.layers.0.self_attn.q_norm.weight', 'only tensors of the qwen2 model that config.json describes', 'another one')),
  single('a tensor of the wrong width', replace('config.json', '"hidden_size": 48', '"hidden_size": 40'), badFile(M, 'tensor model.embed_tokens.weight', 'shape [328, 40]', 'shape [328, 48]')),
  single('a transposed tensor', header.replace(M, `"${UP1}":{"dtype":"BF16","shape":[96,48]`, `"${UP1}":{"dtype":"BF16","shape":[48,96]`), badFile(M, `tensor ${UP1}`, 'shape [96, 48]', 'shape [48, 96]')),
  single('a weight that is NaN', patch(M, 2648, 'c07f'), badFile(M, 'tensor model.embed_tokens.weight, row 0', 'numbers', 'a NaN or an infinity')),
  single('a weight that is a NaN with a payload', patch(M, 2648 + 96, '81ff'), badFile(M, 'tensor model.embed_tokens.weight, row 1', 'numbers', 'a NaN or an infinity')),
  single('a norm that is infinite', patch(M, -2, '807f'), badFile(M, 'tensor model.norm.weight, row 0', 'numbers', 'a NaN or an infinity')),
  single('a norm that is minus infinity', patch(M, -2, '80ff'), badFile(M, 'tensor model.norm.weight, row 0', 'numbers', 'a NaN or an infinity')),
  hostile('safetensors: numbers so large that the model computes infinities', 'llama-untied-f32', patch(M, -192, 'ffff7f7f'), { code: 'NON_FINITE', message: 'the model computed a logit that is NaN for token 0 at position 24. The weights are damaged, or the model needs a wider `dtype` such as f32.' }, { chat: 'hello' }),

  sharded('a file name that goes up', ...shardName('../model-00003-of-00003.safetensors')),
  sharded('an absolute file name', ...shardName('/etc/model.safetensors')),
  sharded('a URL in place of a file name', ...shardName('https://example.org/model.safetensors')),
  sharded('a file name that goes up in percent encoding', ...shardName('%2e%2e%2fmodel.safetensors')),
  sharded('a file name that goes up with backslashes', ...shardName('..\\model.safetensors')),
  sharded('a file name with a query', ...shardName('model.safetensors?.safetensors')),
  sharded('a file of another kind', ...shardName('pytorch_model.bin')),
  sharded('a file name that is only its ending', ...shardName('.safetensors')),
  sharded('a file name that is a number', ...shardName(3)),
  sharded('a file that is not there', remove('model-00002-of-00003.safetensors'), badInput('weight files', '3', '1, and model-00002-of-00003.safetensors is not finished')),
  sharded('a tensor in another file than the index says', replace(INDEX, '"model.norm.weight": "model-00003-of-00003.safetensors"', '"model.norm.weight": "model-00001-of-00003.safetensors"'), badFile('model-00001-of-00003.safetensors', 'tensor model.norm.weight', 'it in this file, as the index says', 'nothing')),
  sharded('a tensor that the index does not know', replace(INDEX, '"model.norm.weight"', '"a.rotary_emb.inv_freq"'), badFile(INDEX, 'tensor model.norm.weight', 'a tensor of shape [48]', 'nothing')),
  sharded('a tensor that occurs twice', replace(INDEX, '"lm_head.weight": "', '"lm_head.weight": "model-00001-of-00003.safetensors", "lm_head.weight": "'), badFile(INDEX, 'line 6, column 74', 'sound JSON', '“the key "lm_head.weight" stands twice”')),
  sharded('a tensor in two files', header.replace('model-00003-of-00003.safetensors', '{', '{"model.embed_tokens.weight":{"dtype":"BF16","shape":[0],"data_offsets":[0,0]},'), badFile('model-00003-of-00003.safetensors', 'tensor model.embed_tokens.weight', 'it in model-00001-of-00003.safetensors, as the index says', 'it in this file')),
  sharded('a wrong total size, which published indexes have too', replace(INDEX, '"total_size": 176832', '"total_size": -1'), works()),
  sharded('not a map', text(INDEX, '{"metadata": {}}'), badFile(INDEX, 'weight_map', 'an object from tensors to files', 'nothing')),
  sharded('an empty map', text(INDEX, '{"weight_map": {}}'), badFile(INDEX, 'weight_map', 'an object from tensors to files', '{}')),
  sharded('a map nested 10,000 deep', repeat(INDEX, '{"weight_map":', '[', 10000, ''), badFile(INDEX, 'line 1, column 141', 'sound JSON', '“recursion limit exceeded”')),
];
