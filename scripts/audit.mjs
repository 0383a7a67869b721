// Checks the dependencies: cargo-deny (advisories, bans, licences, sources; deny.toml) over the crate and
// over fuzz/, and npm audit over every committed package-lock.json. Ends with the line `N passed, N failed,
// N skipped`.
//
//     node scripts/audit.mjs
//
// Advisories come from the network: RustSec's from GitHub, npm's from its registry. A check that cannot
// reach them is skipped and says so, because being offline is not a fault of the code. The other checks
// need only the lock files and the crates that a build has already fetched.

import { dirname, join } from 'node:path';
import { setupAudit } from './setup.mjs';
import { command, find, must, ROOT, run } from './tools.mjs';

/** The last line of a program's output. */
const lastLine = (output) => output.trim().split('\n').at(-1);

/** Runs cargo-deny over one workspace. Returns a result for each kind of check. */
async function deny(cargoDeny, manifest, advisories) {
  const what = dirname(manifest) === '.' ? 'the crate' : dirname(manifest);
  const check = async (kind) => {
    const args = ['--manifest-path', join(ROOT, manifest), '--config', join(ROOT, 'deny.toml'), '--locked'];
    const { status, output } = await run(cargoDeny, [...args, '--offline', 'check', '--hide-inclusion-graph', kind]);
    return { name: `cargo deny, ${kind} of ${what}`, status: status === 0 ? 'passed' : 'failed', detail: output.trim() };
  };
  await must(`fetching the crates of ${what}`, 'cargo', ['fetch', '--locked', '--manifest-path', join(ROOT, manifest)], { show: true });
  const results = [];
  for (const kind of ['bans', 'licenses', 'sources']) results.push(await check(kind));
  if (advisories.there) return [...results, await check('advisories')];
  return [...results, { name: `cargo deny, advisories of ${what}`, status: 'skipped', detail: advisories.why }];
}

/** Runs npm audit in one folder. */
async function npmAudit(folder) {
  const name = `npm audit of ${folder === '.' ? 'the tools' : folder}`;
  const npm = process.env.npm_execpath ? [process.execPath, [process.env.npm_execpath]] : [find(['npm']) ?? 'npm', []];
  const { status, output } = await run(npm[0], [...npm[1], 'audit', '--package-lock-only', '--json', '--prefix', join(ROOT, folder)]);
  // npm writes warnings next to its JSON.
  const from = output.indexOf('\n{') + 1;
  let report = {};
  try {
    report = JSON.parse(output.slice(from, output.lastIndexOf('\n}') + 2));
  } catch {
    // Output that is not JSON has no `vulnerabilities` either.
  }
  if (!report.vulnerabilities) return { name, status: 'skipped', detail: `the registry gave no audit: ${report.message ?? lastLine(output)}` };
  const vulnerable = Object.values(report.vulnerabilities).map((found) => `${found.name}: ${found.severity}, versions ${found.range}`);
  return { name, status: status === 0 ? 'passed' : 'failed', detail: vulnerable.join('\n') };
}

await command(import.meta.url, async () => {
  const { cargoDeny } = await setupAudit();
  const fetched = await run(cargoDeny, ['--manifest-path', join(ROOT, 'Cargo.toml'), '--config', join(ROOT, 'deny.toml'), 'fetch', 'db']);
  const advisories = { there: fetched.status === 0, why: `the database of advisories cannot be fetched: ${lastLine(fetched.output)}` };
  const results = [];
  for (const manifest of ['Cargo.toml', join('fuzz', 'Cargo.toml')]) results.push(...(await deny(cargoDeny, manifest, advisories)));
  const files = await must('asking git', 'git', ['ls-files', '*package-lock.json']);
  for (const file of files.trim().split('\n')) results.push(await npmAudit(dirname(file)));

  for (const { name, status, detail } of results) {
    const shown = detail && (status !== 'passed' || /^(warning|error)/m.test(detail));
    console.log(`${status.padEnd(8)} ${name}${shown ? `\n${detail.replace(/^/gm, '         ')}` : ''}`);
  }
  const count = (status) => results.filter((result) => result.status === status).length;
  console.log(`${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`);
  process.exitCode = count('failed') === 0 ? 0 : 1;
});
