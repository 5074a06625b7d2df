/** A value that tells its listeners when it changes, and may outlive the page. */

/**
 * Make a store.
 * @param {*} initial
 * @param {string} [name] Under which it is kept in this browser.
 */
export function createStore(initial, name) {
  const listeners = new Set();
  let value = (name && read(name)) ?? initial;
  return {
    get value() {
      return value;
    },
    set(next) {
      value = typeof next === "function" ? next(value) : next;
      if (name) write(name, value);
      for (const listener of listeners) listener(value);
    },
    subscribe(listener) {
      listeners.add(listener);
      listener(value);
      return () => listeners.delete(listener);
    },
  };
}

function read(name) {
  try {
    return JSON.parse(localStorage.getItem(`soundalike.${name}`));
  } catch {
    return null;
  }
}

function write(name, value) {
  try {
    localStorage.setItem(`soundalike.${name}`, JSON.stringify(value));
  } catch {
    // A full or forbidden storage: the page works, and forgets.
  }
}
