// Finds what building and testing need besides git, rustup's Rust and Node, or installs it with the
// machine's package managers. There are two levels: `build` (the wasm target, wasm-bindgen, npm's packages)
// for `npm start`, and `test` (also wasm-pack, the browsers and their drivers, cargo-fuzz and cargo-deny)
// for `npm test`. If everything is there, it takes a fraction of a second. It prints one line for each
// thing that it cannot get.
//
//     node scripts/setup.mjs [build | test]

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { command, find, findAll, must, ROOT, run, Trouble } from './tools.mjs';

const CARGO_BIN = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'bin');

/**
 * Where programs in versions that the machine does not have are installed, one folder for each, shared by
 * all checkouts.
 */
export const TOOLS = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'fireside');

/**
 * Versions known to work. Any other installed version is accepted too, except that wasm-bindgen's must
 * match Cargo.lock.
 */
const WASM_PACK = '0.15.1';
const GECKODRIVER = '0.37.1';
const CARGO_FUZZ = '0.13.2';
const CARGO_DENY = '0.20.2';

const WINDOWS = [process.env.PROGRAMFILES, process.env['PROGRAMFILES(X86)'], process.env.LOCALAPPDATA].filter(Boolean);
const CHROMES = [
  process.env.CHROME_BIN, 'chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome', 'chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome', '/Applications/Chromium.app/Contents/MacOS/Chromium',
  ...WINDOWS.map((folder) => join(folder, 'Google', 'Chrome', 'Application', 'chrome.exe')),
];
const FIREFOXES = [
  process.env.FIREFOX_BIN, 'firefox-esr', 'firefox', '/Applications/Firefox.app/Contents/MacOS/firefox',
  ...WINDOWS.map((folder) => join(folder, 'Mozilla Firefox', 'firefox.exe')),
];

const REMEDIES = {
  chrome: 'Chrome or Chromium is missing: install one, or set CHROME_BIN to its path',
  chromedriver: "chromedriver is missing: install the one of your Chrome's version (Debian: chromium-driver), or set CHROMEDRIVER to its path",
  firefox: 'Firefox is missing: install it, or set FIREFOX_BIN to its path',
};

/** The `version` of `name` in Cargo.lock. */
export function locked(name) {
  const lock = readFileSync(join(ROOT, 'Cargo.lock'), 'utf8');
  return lock.match(new RegExp(`name = "${name}"\\nversion = "([^"]+)"`))?.[1];
}

/** Whether a folder has the packages that its package.json names, in exactly these versions. */
export function hasPackages(folder) {
  const { devDependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return Object.entries(devDependencies).every(([name, version]) => {
    const path = join(folder, 'node_modules', name, 'package.json');
    return existsSync(path) && JSON.parse(readFileSync(path, 'utf8')).version === version;
  });
}

/** Installs npm's packages, exactly as package.json pins them. */
async function npmPackages() {
  if (hasPackages(ROOT)) return;
  console.log('installing the npm packages of package-lock.json');
  // npm tells its scripts where it is. For `node scripts/...` this uses the one on PATH.
  const npm = process.env.npm_execpath ? [process.execPath, [process.env.npm_execpath]] : [find(['npm']) ?? 'npm', []];
  await must('installing the npm packages', npm[0], [...npm[1], 'ci', '--no-fund', '--no-audit'], { show: true });
}

/** Checks the toolchain of rust-toolchain.toml with the wasm target and the sources of std. */
async function rust() {
  // rustup adds this folder to PATH in the shell's start-up files, which a shell opened earlier has not
  // read.
  if (!find(['cargo'])) process.env.PATH += delimiter + CARGO_BIN;
  if (!find(['cargo'])) throw new Trouble('Rust is missing. Install it with rustup: https://rustup.rs');
  const { status, output } = await run('rustc', ['--print', 'sysroot']);
  const lib = join(output.trim().split('\n').at(-1), 'lib', 'rustlib');
  const has = (...path) => status === 0 && existsSync(join(lib, ...path));
  if (has('wasm32-unknown-unknown', 'lib') && has('src', 'rust', 'library')) return;
  if (!find(['rustup'])) {
    throw new Trouble('this Rust has no wasm32-unknown-unknown target, and there is no rustup to add it. Install Rust with rustup: https://rustup.rs');
  }
  console.log('adding the components of rust-toolchain.toml to the Rust toolchain');
  await must('adding the wasm target', 'rustup', ['target', 'add', 'wasm32-unknown-unknown'], { show: true });
  await must('adding Rust components', 'rustup', ['component', 'add', 'rust-src', 'rustfmt', 'clippy'], { show: true });
}

/**
 * A program from crates.io: an installed one that `fits`, or else `version` of `crate`, built once into the
 * tools folder. `debug` builds it without optimisation.
 */
async function fromCrates(crate, program, version, { fits = async () => true, debug = false } = {}) {
  const folder = join(TOOLS, `${crate}-${version}`);
  const bin = join(folder, 'bin');
  for (const path of findAll([program], [CARGO_BIN, bin])) {
    if (await fits(path)) return path;
  }
  console.log(`building ${crate} ${version} (once, some minutes)`);
  // Not --locked: the lock file of wasm-bindgen-cli names versions that have been withdrawn.
  const target = join(folder, 'target');
  const args = ['install', crate, '--version', version, '--root', folder, '--target-dir', target, '--force', ...(debug ? ['--debug'] : [])];
  await must(`installing ${crate}`, 'cargo', args, { show: true, env: { CARGO_PROFILE_DEV_DEBUG: '0' } });
  rmSync(target, { recursive: true });
  return find([program], [bin]);
}

/**
 * wasm-bindgen in exactly the version that the crate is compiled against, because the two share a private
 * format.
 */
async function wasmBindgen() {
  const version = locked('wasm-bindgen');
  const fits = async (path) => (await run(path, ['--version'])).output.trim() === `wasm-bindgen ${version}`;
  return fromCrates('wasm-bindgen-cli', 'wasm-bindgen', version, { fits });
}

/**
 * Installs Debian's packages for the missing ones of `wanted` (package name -> is it missing?), if this
 * machine and user can install them.
 */
async function debianPackages(wanted) {
  const missing = Object.keys(wanted).filter((name) => wanted[name]);
  const canInstall = process.getuid?.() === 0 && find(['apt-get']) && existsSync('/etc/debian_version');
  if (missing.length === 0 || !canInstall) return;
  console.log(`installing ${missing.join(', ')}`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  await run('apt-get', ['update', '-qq'], { show: true, env });
  for (const name of missing) await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', name], { env });
}

/** Sets up building. Returns the path of wasm-bindgen. */
export async function setupBuild() {
  await rust();
  await npmPackages();
  return { wasmBindgen: await wasmBindgen() };
}

/** rustc's default target, such as `x86_64-unknown-linux-gnu`. */
async function rustHost() {
  return (await must('asking rustc', 'rustc', ['-vV'])).match(/^host: (\S+)$/m)?.[1];
}

/** Sets up fuzzing: cargo-fuzz and the host to build for; `undefined` if libFuzzer is not available. */
export async function setupFuzz() {
  if (process.platform !== 'linux' && process.platform !== 'darwin') return undefined;
  await rust();
  // libFuzzer is C++; the regex engine of the reference tokenizer is C.
  await debianPackages({ 'g++': !find(['c++', 'g++', 'clang++']) });
  return { cargoFuzz: await fromCrates('cargo-fuzz', 'cargo-fuzz', CARGO_FUZZ), host: await rustHost() };
}

/** cargo-deny. An optimised build takes many minutes. This one takes two, and its checks take seconds. */
export async function setupAudit() {
  await rust();
  return { cargoDeny: await fromCrates('cargo-deny', 'cargo-deny', CARGO_DENY, { debug: true }) };
}

/** The browsers and chromedriver that are installed. */
export function findBrowsers() {
  return { chrome: find(CHROMES), chromedriver: find([process.env.CHROMEDRIVER, 'chromedriver']), firefox: find(FIREFOXES) };
}

/**
 * Sets up testing: the paths of both browsers, their drivers, wasm-pack, cargo-fuzz and cargo-deny. A
 * browser or driver that is missing and cannot be installed is `undefined`, and `lacks` has a line about
 * it. Its tests then fail and the others run.
 */
export async function setupTest() {
  const build = await setupBuild();
  const before = findBrowsers();
  await debianPackages({ chromium: !before.chrome, 'chromium-driver': !before.chromedriver, 'firefox-esr': !before.firefox });
  const browsers = findBrowsers();
  const lacks = Object.keys(browsers).filter((name) => !browsers[name]).map((name) => REMEDIES[name]);
  const wasmPack = await fromCrates('wasm-pack', 'wasm-pack', WASM_PACK);
  const geckodriver = find([process.env.GECKODRIVER]) ?? (await fromCrates('geckodriver', 'geckodriver', GECKODRIVER));
  const { cargoFuzz } = (await setupFuzz()) ?? {};
  return { ...build, ...browsers, wasmPack, geckodriver, cargoFuzz, ...(await setupAudit()), lacks };
}

await command(import.meta.url, async ([level = 'test']) => {
  if (level !== 'build' && level !== 'test') throw new Trouble('usage: node scripts/setup.mjs [build | test]');
  const { lacks = [], ...tools } = await (level === 'build' ? setupBuild() : setupTest());
  for (const [name, path] of Object.entries(tools)) console.log(`${name}: ${path ?? 'missing'}`);
  for (const line of lacks) console.error(line);
  if (lacks.length > 0) process.exitCode = 1;
});
