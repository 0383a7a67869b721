// Tells one context of the end of another, for which there is no event: a living context holds a lock, and
// the one that gets it knows.

/** @returns {LockManager | undefined} */
const manager = () => globalThis.navigator?.locks;

/** A name that no other context has. @param {string} who */
export const lockName = (who) => `fireside-lm ${who} ${Math.random().toString(36).slice(2)}`;

/**
 * Holds a lock, where there are locks, for as long as this context lives or until it is released. Resolves
 * once it is held.
 * @param {string} name
 * @returns {Promise<() => void>}
 */
export function holdLock(name) {
  return new Promise((resolve) => {
    let release = () => {};
    const released = new Promise((done) => (release = () => done(undefined)));
    const held = () => (resolve(release), released);
    const request = manager()?.request(name, held);
    if (request) request.catch(() => resolve(release));
    else resolve(release);
  });
}

/**
 * Resolves when the present holder of a lock lets it go. Never, where nobody holds it to begin with: in a
 * page whose site's data has been cleared, Chromium's locks are no longer those of the workers that it
 * makes. Rejects when told to stop waiting.
 * @param {string} name
 * @param {AbortSignal} [signal]
 */
export async function lockReleased(name, signal) {
  const locks = manager();
  const isHeld = await locks?.request(name, { ifAvailable: true }, (lock) => lock === null);
  if (!isHeld) return new Promise(() => {});
  await locks?.request(name, { signal }, () => {});
}
