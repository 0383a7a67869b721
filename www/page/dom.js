// The DOM functions that every module here needs.

/**
 * The element of index.html with this id.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [type]
 * @returns {T}
 */
export function byId(id, type) {
  const found = document.getElementById(id);
  if (!found || (type && !(found instanceof type))) throw new Error(`index.html lacks #${id}`);
  return /** @type {T} */ (found);
}

/**
 * A new element. Strings among the children become text, never markup.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [properties] DOM properties; names with a hyphen set attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-')) node.setAttribute(name, String(value));
    else Reflect.set(node, name, value);
  }
  node.append(...children);
  return node;
}

/** The fire burns higher while a view generates text. */
export function stoke() {
  document.documentElement.toggleAttribute('data-busy', document.querySelector('[data-running]') !== null);
}

/**
 * Whether a key event means "send": Enter alone, but not while an input method composes a word (229 in some
 * browsers).
 * @param {KeyboardEvent} event
 */
export function meansSend(event) {
  return event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}

/** A setting stored on an earlier visit. @param {string} key */
export function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/**
 * Stores a setting, if the browser allows it.
 * @param {string} key
 * @param {string} value
 */
export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // If storage is disabled, the setting lasts as long as the page.
  }
}

/** Lets a text area grow with its text, up to its max-height. @param {HTMLTextAreaElement} area */
export function grow(area) {
  const fit = () => {
    area.style.height = 'auto';
    area.style.height = `${area.scrollHeight + 2}px`;
  };
  area.addEventListener('input', fit);
  addEventListener('resize', fit);
  requestAnimationFrame(fit);
  return fit;
}
