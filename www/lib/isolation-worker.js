// The service worker of isolation.js: adds the headers that isolate a page to documents and to the scripts
// of workers, unless their host has sent them. Everything else (models, ranges, streams, other origins)
// goes its way as if this were not here, and nothing is stored.

{
  const HEADERS = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

  addEventListener('install', () => /** @type {any} */ (self).skipWaiting());

  addEventListener('fetch', (/** @type {any} */ event) => {
    const { request } = event;
    if (request.mode !== 'navigate' && request.destination !== 'worker') return;
    if (new URL(request.url).origin === location.origin) event.respondWith(isolated(request));
  });

  /** @param {Request} request */
  async function isolated(request) {
    const response = await fetch(request);
    // A redirect is followed by the browser, which asks here again.
    if (response.type === 'opaqueredirect' || response.headers.has('Cross-Origin-Embedder-Policy')) return response;
    const headers = new Headers(response.headers);
    for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
    return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
  }
}
