// Turns measurements into the table and the JSON: each speed with its spread, its share of the machine's
// limit, and ours compared with the best peer.

import { summary } from './measure.mjs';
import { ENGINES } from './shapes.mjs';

const number = (value) => (value >= 1000 ? Math.round(value).toLocaleString('en') : value >= 100 ? value.toFixed(0) : value.toFixed(1));

/**
 * `limits[threads]`: a list of rates in 1/s. Returns the highest of each, because noise can only lower a
 * measured limit.
 */
function highest(limits) {
  const best = (list, key) => summary(list.map((rates) => rates[key])).max;
  const keys = ['readBytes', 'multiplyAdd', 'relaxedFma'];
  return Object.fromEntries(Object.entries(limits).map(([threads, list]) => [threads, Object.fromEntries(keys.map((key) => [key, best(list, key)]))]));
}

/** Weights with fewer bytes may stay in the processor's caches, so memory bandwidth does not limit them. */
const CACHED_BYTES = 64e6;

/** One row's figures: { prefill: { 128: { median, min, max, ofLimit } }, decode: ... }. */
function figures(row, shape, limits) {
  const of = (table, limitRate) => Object.fromEntries(Object.entries(table).map(([key, values]) => {
    const speed = summary(values);
    const limit = limitRate(Number(key));
    return [key, limit === undefined ? speed : { ...speed, ofLimit: speed.median / limit }];
  }));
  const { readBytes, relaxedFma } = limits[row.threads];
  return {
    prefill: of(row.prefill, (length) => (relaxedFma / shape.prefillFlops(length)) * length),
    decode: of(row.decode, (past) => (shape.decodeBytes(row.format, 0) < CACHED_BYTES ? undefined : readBytes / shape.decodeBytes(row.format, past, row.model))),
  };
}

/**
 * The fastest peer for one of our rows: in the same format (f16 for bf16) and with the same number of
 * threads; for q8 and q4 with any number up to ours; for TinyStories in any format.
 */
function bestPeer(rows, ours, kind, key, anyFormat) {
  const format = ours.format === 'bf16' ? 'f16' : ours.format;
  const anyThreads = ['q8', 'q4'].includes(format);
  const peers = rows.filter((row) => row.engine !== 'ours' && (anyFormat || row.format === format)
    && (row.threads === ours.threads || (anyThreads && row.threads < ours.threads)));
  return peers.reduce((best, row) => {
    const speed = row.figures[kind][key]?.median ?? 0;
    return speed > (best?.speed ?? 0) ? { engine: row.engine, format: row.format, threads: row.threads, speed } : best;
  }, undefined);
}

/** `cells`: the results of measure() for each format. Returns the complete rows of a shape. */
export function shapeReport(shape, cells) {
  const limits = highest(Object.fromEntries([...new Set(cells.flatMap((cell) => Object.keys(cell.limits)))]
    .map((threads) => [threads, cells.flatMap((cell) => cell.limits[threads] ?? [])])));
  const rows = cells.flatMap((cell) => cell.rows.map(({ engine, threads, ...row }) => ({ engine, format: cell.format, threads, ...row })));
  for (const row of rows) row.figures = figures(row, shape, limits);
  for (const row of rows.filter(({ engine }) => engine === 'ours')) {
    row.over = {};
    for (const kind of ['prefill', 'decode']) {
      row.over[kind] = {};
      for (const key of Object.keys(row.figures[kind])) {
        const best = bestPeer(rows, row, kind, key, shape.anyFormat);
        if (best) row.over[kind][key] = { ...best, ratio: row.figures[kind][key].median / best.speed };
      }
    }
  }
  const wrote = agreement(rows);
  for (const row of rows) for (const raw of ['prefill', 'decode', 'texts']) delete row[raw];
  const refused = cells.flatMap((cell) => cell.refused.map((one) => ({ ...one, format: cell.format })));
  return { shape: shape.name, title: shape.title, limits, rows, refused, agreement: wrote };
}

/**
 * The pasts after which an engine's greedy text in f32 differs from ours; undefined if ours was not
 * measured.
 */
function agreement(rows) {
  const reference = rows.find((row) => row.engine === 'ours' && row.format === 'f32' && row.threads === 1);
  if (!reference) return undefined;
  const result = [];
  for (const row of rows) {
    if (row === reference || row.format !== 'f32') continue;
    const differing = Object.entries(row.texts).filter(([past, text]) => text !== reference.texts[past]).map(([past]) => Number(past));
    result.push({ engine: row.engine, threads: row.threads, differing });
  }
  return result;
}

function cell(figure, over) {
  if (!figure) return '';
  const spread = `${number(figure.median)} (${number(figure.min)} to ${number(figure.max)})`;
  const share = figure.ofLimit === undefined ? '' : `, ${(figure.ofLimit * 100).toFixed(0)} %`;
  return `${spread}${share}${over ? `, **${over.ratio.toFixed(2)}x**` : ''}`;
}

/** The table of a shape, as Markdown. */
export function markdown(report, shape) {
  const lines = [`### ${report.title}`, ''];
  for (const [threads, { readBytes, multiplyAdd, relaxedFma }] of Object.entries(report.limits)) {
    const giga = (value) => (value / 1e9).toFixed(1);
    lines.push(`Limits on ${threads} thread${threads === '1' ? '' : 's'}: ${giga(readBytes)} GB/s read, ${giga(multiplyAdd)} GFLOP/s by multiplying and adding, ${giga(relaxedFma)} by relaxed FMA.`);
  }
  const columns = [...shape.prefill.map((length) => ['prefill', length]), ...shape.past.map((past) => ['decode', past])];
  const heads = columns.map(([kind, key]) => (kind === 'prefill' ? `prefill ${key}` : `decode after ${key}`));
  lines.push('', `| engine | T | ${heads.join(' | ')} | load, s | wasm, MB |`, `|---|---|${columns.map(() => '---').join('|')}|---|---|`);
  for (const row of report.rows) {
    const cells = columns.map(([kind, key]) => cell(row.figures[kind][key], row.over?.[kind][key]));
    lines.push(`| ${ENGINES[row.engine].title} ${row.format} | ${row.threads} | ${cells.join(' | ')} | ${(row.loadMs / 1000).toFixed(1)} | ${Math.round(row.memory / 1e6)} |`);
  }
  lines.push('');
  const scaled = scaling(report.rows, columns);
  if (scaled.length > 0) lines.push(`Two threads over one, ours: ${scaled.join('; ')}.`, '');
  const builds = new Set(report.rows.filter(({ model }) => model).map(({ threads, model }) => `${model.build ?? model.kernels} on ${model.threads ?? threads} T`));
  if (builds.size > 0) lines.push(`- Builds of ours: ${[...builds].join(', ')}`);
  for (const row of report.rows) for (const note of row.notes) lines.push(`- ${ENGINES[row.engine].title} ${row.format}, ${row.threads} T: ${note}`);
  for (const { engine, format, threads, why } of report.refused) lines.push(`- ${ENGINES[engine].title} ${format}, ${threads} T: not measured: ${why}`);
  if (report.agreement) {
    const odd = report.agreement.filter(({ differing }) => differing.length > 0).map(({ engine, threads, differing }) => `${ENGINES[engine].title} ${threads} T after ${differing.join(', ')}`);
    lines.push(odd.length === 0 ? '- All engines wrote the same greedy tokens in f32.' : `- Other greedy tokens than ours in f32: ${odd.join('; ')}.`);
  }
  return `${lines.join('\n')}\n`;
}

function scaling(rows, columns) {
  const ours = (format, threads) => rows.find((row) => row.engine === 'ours' && row.format === format && row.threads === threads);
  return [...new Set(rows.map(({ format }) => format))].flatMap((format) => {
    const [one, two] = [ours(format, 1), ours(format, 2)];
    if (!one || !two) return [];
    const ratio = ([kind, key]) => two.figures[kind][key]?.median / one.figures[kind][key]?.median;
    const ratios = columns.filter(([kind, key]) => two.figures[kind][key] && one.figures[kind][key]).map((column) => `${column.join(' ')} ${ratio(column).toFixed(2)}x`);
    return [`${format} ${ratios.join(', ')}`];
  });
}
