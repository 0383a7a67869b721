// Runs in the page before the library. Keeps the library's workers, so that tests can terminate them, and
// replaces the engine's worker if the page's URL says so: by one in an environment that lacks a feature
// (`?worker=lacking.js?opfs`), or by one whose engine can be made to fail.

window.workers = [];
const instead = new URLSearchParams(location.search).get('worker');

window.Worker = class extends Worker {
  constructor(url, options) {
    const isEngine = options?.name === 'fireside';
    super(isEngine && instead ? new URL(instead, location.href) : url, options);
    window.workers.push(Object.assign(this, { isEngine }));
  }
};
