// The little of the DOM that every module here needs.

/**
 * The element with this id, which index.html has.
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
 * @param {Record<string, unknown>} [properties] DOM properties; those with a hyphen are attributes
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

/** The fire burns higher while any view has text under way. */
export function stoke() {
  document.documentElement.toggleAttribute('data-busy', document.querySelector('[data-running]') !== null);
}

/** Enter alone; while an input method composes a word, Enter takes that word (229 is how some browsers say so). @param {KeyboardEvent} event */
export function meansSend(event) {
  return event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}

/** A choice made on an earlier visit. @param {string} key */
export function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Remembers a choice where the browser allows it. @param {string} key @param {string} value */
export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage may be switched off; the choice then lasts as long as the page.
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
