// A service worker controls the folder that it is in, and below: the page's.
/** @type {any} */ (self).importScripts('lib/isolation-worker.js');
