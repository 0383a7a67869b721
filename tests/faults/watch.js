// Runs in the page before the library: keeps the workers that it makes within reach of the tests, which end some behind its back, and gives it others for
// the engine's where the page's address says so: in a world that lacks something (`?worker=lacking.js?opfs`), or with an engine that can be made to fail.

window.workers = [];
const instead = new URLSearchParams(location.search).get('worker');

window.Worker = class extends Worker {
  constructor(url, options) {
    const isEngine = options?.name === 'fireside';
    super(isEngine && instead ? new URL(instead, location.href) : url, options);
    window.workers.push(Object.assign(this, { isEngine }));
  }
};
