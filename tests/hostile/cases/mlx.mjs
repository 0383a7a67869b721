// Checkpoints that MLX quantised: what config.json says of them, and their tensors.

import { badFile, header, hostile, keep, patch, replace, unsupported, works } from '../write.mjs';

const C = 'config.json';
const M = 'model.safetensors';
const FIRST = 'model-00001-of-00002.safetensors';
const INDEX = 'model.safetensors.index.json';
const UP0 = 'model.layers.0.mlp.up_proj';
const UP1 = 'model.layers.1.mlp.up_proj';
const SAYS = 'as quantization in config.json says';
const TIED = 'no head beside the quantised embedding, as config.json ties them';

/** mlx-lm writes the field twice. Without the second, one edit changes what it says. */
const alone = replace(C, '"quantization_config"', '"copy"');
const of = (base) => (name, edits, outcome, then) => hostile(`mlx: ${name}`, base, edits, outcome, then);
const [mixed, sharded, fp4] = ['mlx-mixed-bf16', 'mlx-sharded-f16', 'mlx-fp4-bf16'].map(of);
const says = (from, to) => [alone, replace(C, from, to)];
/** What config.json says of one more module. */
const module = (mode, name, value) => [alone, replace(C, `"mode": "${mode}"`, `"mode": "${mode}", "${name}": ${value}`)];

export default [
  fp4('the field once, as older folders have it', alone, works()),
  fp4('the field under its second name alone', replace(C, '"quantization"', '"copy"'), works()),
  mixed('codes of 7 bits', says('"bits": 4', '"bits": 7'), unsupported(C, 'quantization.bits', '2, 3, 4, 5, 6, 8', '7')),
  mixed('codes of 2^64 bits', says('"bits": 4', '"bits": 18446744073709551616'), badFile(C, 'quantization.bits', 'a whole number from 1 to 1048576', '1.8446744073709552e+19')),
  mixed('codes of no bits', says('"bits": 4', '"bits": 0'), badFile(C, 'quantization.bits', 'a whole number from 1 to 1048576', '0')),
  mixed('bits that are a text', says('"bits": 4', '"bits": "4"'), badFile(C, 'quantization.bits', 'a whole number from 1 to 1048576', '"4"')),
  mixed('bits that are missing', says('"bits": 4,', ''), badFile(C, 'quantization.bits', 'a whole number from 1 to 1048576', 'nothing')),
  mixed('groups of 48', says('"group_size": 64', '"group_size": 48'), unsupported(C, 'quantization.group_size', '32, 64, 128', '48')),
  mixed('groups of nothing', says('"group_size": 64', '"group_size": 0'), badFile(C, 'quantization.group_size', 'a whole number from 1 to 1048576', '0')),
  mixed('a mode that is not known', says('"affine"', '"nvfp4"'), unsupported(C, 'quantization.mode', 'affine, mxfp4', '"nvfp4"')),
  fp4('numbers of four bits in 8 bits', says('"bits": 4', '"bits": 8'), unsupported(C, 'quantization.bits', '4', '8')),
  mixed('a module with a field that is not known', says(`"${UP1}": false`, `"${UP1}": {"bits": 3, "group_size": 32, "axis": 1}`), unsupported(C, `quantization.${UP1}.axis`, 'bits, group_size and mode', '1')),
  fp4('a second field that says something else', replace(C, '"group_size": 32', '"group_size":  32, "lm_head": false'), unsupported(C, 'quantization_config', 'null', '{"bits":4,"group_size":32,"mode":"mxfp4"}')),
  fp4('a module that the model does not have', module('mxfp4', 'model.layers.7.mlp.up_proj', '{"bits": 4, "group_size": 32}'), badFile(C, 'quantization', 'modules of this model', '`model.layers.7.mlp.up_proj`')),
  fp4('a quantised norm', module('mxfp4', 'model.norm', '{"bits": 4, "group_size": 32}'), badFile(C, 'quantization', 'modules of this model', '`model.norm`')),
  fp4('a module of a picture model that is not quantised', module('mxfp4', 'vision_tower.patch_embed', 'false'), works()),
  fp4('codes where config.json says floats', module('mxfp4', UP0, 'false'), badFile(M, `tensor ${UP0}.weight`, `floats alone, ${SAYS}`, 'U32 [96, 8]')),
  mixed('floats where config.json says codes', says(`"${UP1}": false`, `"${UP1}": {"bits": 4, "group_size": 64}`), badFile(M, `tensor ${UP1}.weight`, `U32, codes of 4 bits, ${SAYS}`, 'BF16 [64, 128]')),
  fp4('codes of other bits than config.json says', module('mxfp4', UP0, '{"bits": 8, "group_size": 32}'), badFile(M, `tensor ${UP0}.weight`, `shape [96, 16], ${SAYS}`, 'shape [96, 8]')),
  fp4('larger groups than config.json says', module('mxfp4', UP0, '{"bits": 4, "group_size": 64}'), badFile(M, `tensor ${UP0}.scales`, `shape [96, 1], ${SAYS}`, 'shape [96, 2]')),
  fp4('groups that do not divide the columns', module('mxfp4', UP0, '{"bits": 4, "group_size": 128}'), badFile(M, `tensor ${UP0}.weight`, 'columns in whole groups of 128', 'a matrix 96 x 64')),
  fp4('offsets that config.json asks for and are missing', module('mxfp4', 'model.layers.0.self_attn.q_proj', '{"bits": 4, "group_size": 32, "mode": "affine"}'), badFile(M, 'tensor model.layers.0.self_attn.q_proj.scales', 'F16, BF16 or F32', 'U8')),
  fp4('scales that are missing', header.replace(M, `"${UP0}.scales"`, '"scales"'), badFile(M, `tensor ${UP0}.scales`, 'a tensor of shape [96, 2]', 'nothing')),
  mixed('offsets that are missing', header.replace(M, `"${UP0}.biases"`, '"biases"'), badFile(M, `tensor ${UP0}.biases`, 'a tensor of shape [64, 4]', 'nothing')),
  mixed('scales of integers', header.replace(M, '[115456,115968],"dtype":"BF16"', '[115456,115968],"dtype":"I16"'), badFile(M, `tensor ${UP0}.scales`, 'F16, BF16 or F32', 'I16')),
  mixed('scales of another shape', header.replace(M, '[115456,115968],"dtype":"BF16","shape":[64,4]', '[115456,115968],"dtype":"BF16","shape":[128,2]'), badFile(M, `tensor ${UP0}.scales`, `shape [64, 4], ${SAYS}`, 'shape [128, 2]')),
  mixed('codes of signed integers', header.replace(M, '[111872,114944],"dtype":"U32"', '[111872,114944],"dtype":"I32"'), badFile(M, `tensor ${UP0}.weight`, `U32, codes of 3 bits, ${SAYS}`, 'I32 [64, 12]')),
  mixed('codes that are missing', header.replace(M, `"${UP0}.weight"`, '"codes"'), badFile(M, `tensor ${UP0}.weight`, 'a tensor of shape [64, 128]', 'nothing')),
  mixed('one tensor under two names', header.replace(M, `"${UP0}.scales"`, '"layers.0.mlp.up_proj.biases"'), badFile(M, 'tensor layers.0.mlp.up_proj.biases', 'one tensor of this name, with or without “model.”', 'two')),
  mixed('a scale that is NaN', patch(M, 5063 + 115456, 'c07f'), badFile(M, `tensor ${UP0}.scales, row 0`, 'numbers', 'a NaN or an infinity')),
  mixed('an offset that is infinite', patch(M, 5063 + 115454, '807f'), badFile(M, `tensor ${UP0}.biases, row 63`, 'numbers', 'a NaN or an infinity')),
  fp4('a power of two that is NaN', patch(M, 3453 + 25089, 'ff'), badFile(M, `tensor ${UP0}.scales, row 0`, 'numbers', 'a NaN or an infinity')),
  fp4('codes of a head beside a tied embedding', header.replace(M, '"model.embed_tokens.weight"', '"lm_head.weight"'), badFile(M, 'tensor lm_head.weight', TIED, 'U32 [320, 8]')),
  mixed('quantised tensors without the field', [alone, replace(C, '"quantization"', '"none"')], badFile(M, 'tensor lm_head.biases', '`quantization` in config.json, as for all quantised weights', 'none')),
  fp4('codes without the field and without scales of theirs before', [alone, replace(C, '"quantization"', '"none"')], badFile(M, `tensor ${UP0}.weight`, 'shape [96, 64]', 'shape [96, 8]')),
  sharded('scales that the index does not list', replace(INDEX, `"${UP1}.biases": "${FIRST}",`, ''), badFile(FIRST, `tensor ${UP1}.biases`, 'only tensors that the index lists', 'another one')),
  sharded('a file that ends within codes', keep(FIRST, 6000), badFile(FIRST, 'the whole file', '40793 bytes', '6000 bytes')),
];
