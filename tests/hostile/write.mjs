// The words in which the cases are written: the edits of a file, and what is to come of it.
//
// An edit changes the bytes of one file of the fixture, or with `header` those of a safetensors file's header, whose length is then put right:
//
//     text      all of it, as UTF-8                 keep      its first bytes; a negative number: all but its last
//     hex       all of it, as bytes                 append    bytes after it
//     repeat    all of it: [before, unit, count, after], where each unit may hold its number as {i}
//     replace   the first occurrence of a text by another; it has to be there
//     at, hex   the bytes from there on; a negative number counts from the end
//     remove    the file is not there

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

/** What comes of a case: it loads and does what it is asked (`{}`), or fails with a code and the whole message. */
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

/** One case; `then` is what is done with the model once it is loaded. */
export const hostile = (name, base, edits, outcome, then = {}) => ({ name, base, edits: [edits].flat(), ...then, ...outcome });
