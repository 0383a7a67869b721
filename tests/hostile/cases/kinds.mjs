// Files of a different kind.

import { badFile, hex, hostile, notAModel, text } from '../write.mjs';

const ADDRESS = 'Open its address in a browser tab: it may be mistyped, or the model may ask for a login or an accepted licence.';
const SAFETENSORS = 'Fireside reads safetensors: use the files of the same model that end in .safetensors.';
const UNPACK = 'Unpack it first, or have the server send it with the matching Content-Encoding header.';

const PAGE = '<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not Found</body></html>\n';
const PAGE_FOUND = 'an HTML page that begins “<!DOCTYPE html> <html><head><title>404</title></head><body>Not Found</body></htm...”';
const LOGIN = '\n  <html lang="en"><head><meta charset="utf-8"><title>Log In</title></head><body><form action="/login" method="post"></form></body></html>';
const LOGIN_FOUND = 'an HTML page that begins “<html lang="en"><head><meta charset="utf-8"><title>Log In</title></head><body><f...”';
const POINTER = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 269060552\n';
const POINTER_FOUND = 'a Git LFS pointer, a note that stands in for the real file of 269060552 bytes';
const PULL = "Run `git lfs pull` in the clone, or download the file itself from the model's page.";
const ERROR = '{"error":"Repository not found"}';
const ERROR_FOUND = 'a server\'s error message: “{"error":"Repository not found"}”';
const EMPTY = 'Download it again: the transfer ended before its first byte.';
const ZEROS = '00'.repeat(200);

const M = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const FILES = ['config.json', 'tokenizer.json', 'tokenizer_config.json', M, INDEX];
/** An optional file. */
const G = 'generation_config.json';

const kind = (what, file, edit, outcome) => hostile(`${file}: ${what}`, file === INDEX ? 'llama-sharded-bf16' : 'qwen2-bf16', edit, outcome);

export default [
  ...FILES.map((file) => kind('an HTML page', file, text(file, PAGE), notAModel(file, PAGE_FOUND, ADDRESS))),
  ...FILES.map((file) => kind('a Git LFS pointer', file, text(file, POINTER), notAModel(file, POINTER_FOUND, PULL))),
  ...FILES.map((file) => kind('nothing', file, text(file, ''), notAModel(file, 'empty', EMPTY))),
  ...FILES.map((file) => kind("a server's error message", file, text(file, ERROR), notAModel(file, ERROR_FOUND, ADDRESS))),
  ...Object.entries({ 'an HTML page': PAGE, 'a Git LFS pointer': POINTER, nothing: '', "a server's error message": ERROR }).map(([what, bytes]) => kind(what, G, text(G, bytes), {})),
  kind('an HTML page', 'chat_template.jinja', text('chat_template.jinja', PAGE), notAModel('chat_template.jinja', PAGE_FOUND, ADDRESS)),
  kind('a login page', M, text(M, LOGIN), notAModel(M, LOGIN_FOUND, ADDRESS)),
  kind('gzip', M, hex(M, `1f8b0800${ZEROS}`), notAModel(M, 'compressed by gzip', UNPACK)),
  kind('gzip', 'tokenizer.json', hex('tokenizer.json', `1f8b0800${ZEROS}`), notAModel('tokenizer.json', 'compressed by gzip', UNPACK)),
  kind('a pickle', M, hex(M, `8002637472${ZEROS}`), notAModel(M, "a Python pickle, as PyTorch's .bin files are", SAFETENSORS)),
  kind('a ZIP archive', M, hex(M, `504b0304${ZEROS}`), notAModel(M, "a ZIP archive, as PyTorch's .bin and .pt files are", SAFETENSORS)),
  kind('GGUF of nothing', M, hex(M, `4747554603000000${ZEROS}`), badFile(M, 'metadata general.architecture', 'one of llama, qwen2, qwen3, smollm3', 'nothing')),
  kind('GGUF', 'config.json', hex('config.json', `4747554603000000${ZEROS}`), notAModel('config.json', 'a GGUF file, the format of llama.cpp', 'Load that file itself: it needs no other files.')),
  kind('GGML', M, hex(M, `6c6d6767${ZEROS}`), notAModel(M, 'a GGML file, which llama.cpp wrote before GGUF', SAFETENSORS)),
  kind('JSON of something', M, text(M, '{"weights": [1, 2, 3, 4, 5, 6, 7, 8]}'), notAModel(M, 'JSON text that begins “{"weights": [1, 2, 3, 4, 5, 6, 7, 8]}”', SAFETENSORS)),
];
