// A static server for development and tests: www at the root, models/ under it, loopback only. It sends the
// headers that isolate the page (COOP, COEP, CORP). Without them a browser allows no SharedArrayBuffer, and
// so no threads.
//
//     node scripts/serve.mjs [--build] [--port N] [--no-isolation]
//
// sirv handles files, types, ranges and validators. It is one page of code with three small packages, by
// the authors of polka. (`send`, the alternative, brings eleven packages.)

import { createServer } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from './build.mjs';
import { VENDOR } from './dist.mjs';
import { page, WWW } from './modules.mjs';
import { command, ROOT, Trouble } from './tools.mjs';

const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/** Listens on the first free port from `port` on, within `tries`; 0 lets the system choose. */
function listen(server, port, tries = 20) {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      if (error.code !== 'EADDRINUSE' || port === 0 || tries === 1) return reject(error);
      resolve(listen(server, port + 1, tries - 1));
    });
    server.listen(port, '127.0.0.1', () => resolve(server.address().port));
  });
}

const SIRV = { dev: true, etag: true };

/** The handler of www: the page, whose links to its modules are made when it is requested, and files. */
function servePage(files) {
  return async (request, response, notFound) => {
    if (!/^\/(index\.html)?(\?|$)/.test(request.url)) return files(request, response, notFound);
    try {
      const html = await page();
      response.writeHead(200, { 'Content-Type': 'text/html;charset=utf-8', 'Cache-Control': 'no-store' }).end(request.method === 'HEAD' ? undefined : html);
    } catch (error) {
      console.error(error.message); // such as a syntax error, which the browser then shows as well
      files(request, response, notFound);
    }
    return undefined;
  };
}

/**
 * Serves folders. `mounts` maps URL prefixes to folders, and the first match wins. `first` gets each
 * request before them and returns whether it has handled it. Resolves with the base URL, a growing list of
 * the requested paths, and `close`.
 */
export async function serve({ mounts, port = 0, isolation = true, first = (_request, _response) => false }) {
  const { default: sirv } = await import('sirv');
  const handlers = Object.entries(mounts).map(([prefix, folder]) => ({ prefix, handler: folder === WWW ? servePage(sirv(folder, SIRV)) : sirv(folder, SIRV) }));
  const requests = [];
  const server = createServer((request, response) => {
    requests.push(request.url);
    if (first(request, response)) return undefined;
    if (isolation) for (const [name, value] of Object.entries(ISOLATION)) response.setHeader(name, value);
    response.setHeader('X-Content-Type-Options', 'nosniff');
    const notFound = () => response.writeHead(404, { 'Content-Type': 'text/plain;charset=utf-8' }).end(`${request.url} is not here\n`);
    if (request.method !== 'GET' && request.method !== 'HEAD') return response.writeHead(405, { Allow: 'GET, HEAD' }).end();
    const mount = handlers.find(({ prefix }) => request.url.startsWith(prefix));
    if (!mount) return notFound();
    request.url = request.url.slice(mount.prefix.length - 1);
    return mount.handler(request, response, notFound);
  });
  const chosen = await listen(server, port);
  const close = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return { url: `http://localhost:${chosen}/`, requests, close };
}

/** The folders that the page's server serves. */
export const MOUNTS = {
  '/models/': join(ROOT, 'models'),
  ...Object.fromEntries(Object.keys(VENDOR).map((name) => [`/vendor/${name}/`, join(ROOT, 'node_modules', name)])),
  '/': WWW,
};

await command(import.meta.url, async (args) => {
  const options = { build: { type: 'boolean' }, port: { type: 'string', default: '8080' }, 'no-isolation': { type: 'boolean' } };
  const { values } = parseArgs({ args, options });
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw new Trouble(`--port must be between 0 and 65535, not ${values.port}`);
  if (values.build) await build();
  const { url } = await serve({ mounts: MOUNTS, port, isolation: !values['no-isolation'] });
  console.log(`${url}  (Ctrl-C ends it)`);
});
