// The functions with which the cases are written: the edits of a file, and the outcome.
//
// An edit changes the bytes of one file of the fixture. With `header` it changes the header of a
// safetensors file, whose length is then corrected:
//
//     text      replaces everything, as UTF-8       keep      keeps the first bytes; negative: drops the last
//     hex       replaces everything, as bytes       append    appends bytes
//     repeat    replaces everything: [before, unit, count, after]; a unit may contain its number as {i}
//     replace   replaces the first occurrence of a text, which must exist
//     at, hex   replaces bytes from a position; negative counts from the end
//     remove    removes the file

const edit = (file, change, header = {}) => ({ file, ...header, ...change });

export const text = (file, text) => edit(file, { text });
export const hex = (file, hex) => edit(file, { hex });
export const repeat = (file, before, unit, count, after) => edit(file, { repeat: [before, unit, count, after] });
export const replace = (file, from, to) => edit(file, { replace: [from, to] });
export const keep = (file, keep) => edit(file, { keep });
export const append = (file, append) => edit(file, { append });
export const patch = (file, at, hex) => edit(file, { at, hex });
export const remove = (file) => edit(file, { remove: true });

/** The same edits on the header of a safetensors file. */
export const header = {
  text: (file, text) => edit(file, { text }, { header: true }),
  repeat: (file, ...parts) => edit(file, { repeat: parts }, { header: true }),
  replace: (file, from, to) => edit(file, { replace: [from, to] }, { header: true }),
  append: (file, append) => edit(file, { append }, { header: true }),
};

const AGAIN = 'Download the file again, or report it to the publisher of the model.';

/**
 * The outcome of a case: it loads and does what it is asked (`{}`), or fails with a code and the full
 * message.
 */
export const works = (more = {}) => more;
export const badFile = (file, at, expected, got) => ({ code: 'BAD_FILE', message: `${file}: ${at}: expected ${expected}, got ${got}. ${AGAIN}` });
export const unsupported = (file, field, expected, got) => ({
  code: 'UNSUPPORTED_MODEL',
  message: `${file}: ${field} is ${got}, which Fireside does not support (supported: ${expected}). Choose another model.`,
});
export const badTokenizer = (at, expected, got) => ({
  code: 'BAD_TOKENIZER',
  message: `tokenizer.json: ${at}: expected ${expected}, got ${got}. Use the tokenizer files published with this model.`,
});
export const badTemplate = (detail) => ({
  code: 'BAD_TEMPLATE',
  message: `chat template: ${detail}. Pass a working template as \`chatTemplate\`, or use \`generate\` with a prompt of your own.`,
});
export const badInput = (what, expected, got) => ({ code: 'BAD_INPUT', message: `${what}: expected ${expected}, got ${got}.` });
export const notAModel = (file, found, remedy) => ({ code: 'NOT_A_MODEL_FILE', message: `${file} is not the model file it should be: it is ${found}. ${remedy}` });

/** One case; `then` is what to do with the loaded model. */
export const hostile = (name, base, edits, outcome, then = {}) => ({ name, base, edits: [edits].flat(), ...then, ...outcome });
