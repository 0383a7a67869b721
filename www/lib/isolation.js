// `fireside-lm/isolation`: threads on a host that cannot send headers. A browser shares memory between
// threads only on a page that is cross-origin isolated, which two headers ask for; a service worker can add
// them. The first visit then reloads once.
//
//     import { isolate } from 'fireside-lm/isolation';
//     // Before anything else. The page's folder has a copy of isolation-worker.js.
//     await isolate();
//
// An isolated page loses its ties to windows of other origins (sign-in popups), and shows what other
// origins serve only where they allow it.

/** This tab has been reloaded already: should that not have isolated the page, nothing will. */
const RELOADED = 'fireside-isolation';

/** How long the visitor waits. After that the page goes on as it is. */
const PATIENCE_MS = 3_000;

/**
 * Isolates the page, by one reload where that is still needed. Resolves with whether the page is isolated;
 * where it reloads, never. Does not reject.
 * @param {{ worker?: string | URL }} [options] the address of isolation-worker.js; its folder is what gets
 *   isolated
 * @returns {Promise<boolean>}
 */
export async function isolate({ worker = 'isolation-worker.js' } = {}) {
  try {
    // The host sends the headers itself, or the service worker has done its work.
    if (globalThis.crossOriginIsolated) return void sessionStorage.removeItem(RELOADED), true;
    // Neither where there are no service workers (an insecure or private page), nor a second time.
    if (!navigator.serviceWorker || sessionStorage.getItem(RELOADED)) return false;
    const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
    const ready = navigator.serviceWorker.register(new URL(worker, document.baseURI)).then(activated);
    if ((await Promise.race([ready, late])) !== true) return false;
    sessionStorage.setItem(RELOADED, '1');
    // Chrome may keep this document and show it again on a later reload.
    addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
    location.reload();
    return new Promise(() => {});
  } catch {
    return false; // refused by a policy or by the visitor's settings, or not found
  }
}

/** @param {ServiceWorkerRegistration} registration @returns {Promise<boolean>} */
function activated({ installing, waiting, active }) {
  const worker = installing ?? waiting ?? active;
  return new Promise((resolve) => {
    const look = () => {
      if (worker?.state === 'activated') resolve(true);
      if (!worker || worker.state === 'redundant') resolve(false);
    };
    worker?.addEventListener('statechange', look);
    look();
  });
}
