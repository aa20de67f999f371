// What was written and is not confirmed by the server yet, kept in the browser: for each user, draft and page that is open.

const PREFIX = "newswire-draft";

export class LocalCopies {
  constructor(user, draft) {
    this.prefix = `${PREFIX}:${user}:${draft}:`;
    this.key = this.prefix + crypto.getRandomValues(new Uint32Array(4)).join("-"); // randomUUID needs https
    // Held as long as this page lives: others can tell that its copy is not abandoned.
    navigator.locks?.request(this.key, () => new Promise(() => {}));
  }

  // Keeps a text; returns whether the browser could.
  keep(copy) {
    try {
      localStorage.setItem(this.key, JSON.stringify(copy));
      return true;
    } catch {
      return false; // no room, or storage is switched off
    }
  }

  drop() {
    remove(this.key);
  }

  // Takes over a copy that a page left behind when it ended; null if there is none.
  async takeAbandoned() {
    for (const key of storedKeys()) {
      if (!key.startsWith(this.prefix) || key === this.key || (await this.isHeld(key))) continue;
      const copy = parse(localStorage.getItem(key));
      if (copy) this.keep(copy);
      remove(key);
      if (copy) return copy;
    }
    return null;
  }

  async isHeld(key) {
    if (!navigator.locks) return false;
    const { held } = await navigator.locks.query();
    return held.some((lock) => lock.name === key);
  }
}

function storedKeys() {
  try {
    return Object.keys(localStorage);
  } catch {
    return [];
  }
}

function remove(key) {
  try {
    localStorage.removeItem(key);
  } catch {
    // storage is switched off: there was none
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
