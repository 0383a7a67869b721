// Applies a case's edits to a fixture. Returns the files by name.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../scripts/tools.mjs';

/** The position that `at` names; a negative one counts from the end. */
const place = (at, bytes) => (at < 0 ? bytes + at : at);

function change(file, { text, repeat, replace, keep, append, at, hex }) {
  if (text !== undefined) return Buffer.from(text);
  if (repeat) {
    const [before, unit, count, after] = repeat;
    return Buffer.from(before + Array.from({ length: count }, (_, i) => unit.replaceAll('{i}', String(i))).join('') + after);
  }
  if (replace) {
    const [from, to] = replace;
    const whole = file.toString();
    if (!whole.includes(from)) throw new Error(`there is no ${from} to replace`);
    return Buffer.from(whole.replace(from, () => to));
  }
  if (keep !== undefined) return file.subarray(0, place(keep, file.length));
  if (append !== undefined) return Buffer.concat([file, Buffer.from(append, 'hex')]);
  const bytes = Buffer.from(hex, 'hex');
  if (at === undefined) return bytes;
  const patched = Buffer.from(file);
  patched.set(bytes, place(at, file.length));
  return patched;
}

/** Applies an edit to the header of a safetensors file, and corrects the header's length. */
function changeHeader(file, edit) {
  const end = 8 + Number(file.readBigUInt64LE());
  const header = change(file.subarray(8, end), edit);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, file.subarray(end)]);
}

/** @returns {Map<string, Buffer>} */
export function filesOf({ base, edits }) {
  const folder = join(ROOT, 'tests', 'fixtures', base);
  const files = new Map((base ? readdirSync(folder) : []).map((name) => [name, readFileSync(join(folder, name))]));
  for (const edit of edits) {
    const file = files.get(edit.file) ?? Buffer.alloc(0);
    if (edit.remove) files.delete(edit.file);
    else files.set(edit.file, edit.header ? changeHeader(file, edit) : change(file, edit));
  }
  return files;
}
