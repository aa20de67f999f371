// Saves a draft while it is written. A text is sent again, unchanged, until the server answers: an answer that was lost is no
// conflict then. No decision depends on the clock of this computer.

const QUIET_MS = 1000; // after the last key
const LATEST_MS = 2500; // after the first key that is not saved
const TIMEOUT_MS = 15_000;
const RETRY_MS = [1000, 2000, 4000, 8000];
const SESSION_MS = 4000;
const WATCH_MS = 20_000;

export class Saving {
  // page: read() and write(fields), show(state, detail), conflict(theirs, resolve), newer(name)
  constructor({ form, copies, page }) {
    Object.assign(this, { form, copies, page });
    this.csrf = form.elements.csrf.value;
    this.revision = Number(form.elements.revision.value);
    this.saved = text(page.read());
    this.sent = null; // sent, and not answered yet
    this.isSending = false;
    this.conflict = null;
    this.failures = 0;
    this.timers = {};
    this.state = "saved";
  }

  get isSaved() {
    return this.state === "saved";
  }

  start() {
    this.form.addEventListener("input", () => this.changed());
    window.addEventListener("online", () => this.state === "offline" && this.send());
    window.addEventListener("beforeunload", (event) => this.state !== "saved" && this.state !== "newer" && event.preventDefault());
    document.addEventListener("visibilitychange", () => (document.hidden ? this.send() : this.look()));
    window.addEventListener("focus", () => this.look());
    setInterval(() => document.hidden || this.look(), WATCH_MS);
  }

  // Continues with a text that another page of this browser left unsaved.
  resume({ revision, fields }) {
    if (text(fields) === text(this.page.read())) return this.copies.drop();
    this.page.write(fields);
    this.revision = revision;
    this.saved = "";
    this.keep();
    this.send();
  }

  changed() {
    if (!this.sent && text(this.page.read()) === this.saved && !this.conflict) return this.settled();
    this.keep();
    if (this.conflict || this.state === "signed-out") return;
    if (this.state !== "offline" && !this.isSending) this.tell("unsaved");
    clearTimeout(this.timers.quiet);
    this.timers.quiet = setTimeout(() => this.send(), QUIET_MS);
    this.timers.latest ??= setTimeout(() => this.send(), LATEST_MS);
  }

  keep() {
    if (!this.copies.keep({ revision: this.revision, fields: this.page.read() })) this.page.show("not-kept");
  }

  async send() {
    clearTimeout(this.timers.quiet);
    clearTimeout(this.timers.latest);
    this.timers.latest = null;
    if (this.isSending || this.conflict) return;
    const fields = this.sent ?? text(this.page.read());
    if (fields === this.saved) return this.settled();
    this.isSending = true;
    this.sent = fields;
    if (this.state !== "offline") this.tell("saving");
    let answer = null;
    try {
      answer = await this.request("PUT", this.form.dataset.save, fields);
    } catch {
      // no answer: the network, the server, or the time
    }
    this.isSending = false;
    await this.answered(answer);
  }

  async answered(answer) {
    const status = answer?.status ?? 0;
    if (status === 200) return this.accepted(answer.body);
    if (status === 409 && answer.body.current) return this.diverged(answer.body.current);
    if (status === 401) return this.signedOut();
    if (status === 403 && answer.body.type?.endsWith("/form-expired")) {
      if (await this.renewSession()) return this.send();
      return this.signedOut();
    }
    if (status === 0 || status === 408 || status === 429 || status >= 500) return this.unreachable();
    this.sent = null; // refused for what it is: the next text may be accepted
    this.tell("refused", answer.body.detail ?? String(status));
  }

  accepted({ revision }) {
    this.revision = revision;
    this.form.elements.revision.value = revision;
    this.saved = this.sent;
    this.sent = null;
    this.failures = 0;
    this.changed();
  }

  settled() {
    this.copies.drop();
    this.tell("saved");
  }

  // The server does not answer: the text is in the browser, and is sent again.
  unreachable() {
    this.tell("offline");
    const pause = RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)];
    clearTimeout(this.timers.retry);
    this.timers.retry = setTimeout(() => this.send(), pause);
  }

  // Somebody else saved another text first. Both are shown; the person decides.
  diverged(theirs) {
    this.sent = null;
    this.conflict = theirs;
    this.keep();
    this.tell("conflict");
    this.page.conflict(theirs, (choice) => this.resolve(choice));
  }

  resolve(choice) {
    const theirs = this.conflict;
    this.conflict = null;
    this.revision = theirs.revision;
    this.form.elements.revision.value = theirs.revision;
    if (choice === "mine") {
      this.saved = "";
      this.keep();
      return this.send();
    }
    this.page.write(theirs.fields);
    this.saved = text(this.page.read());
    this.settled();
  }

  signedOut() {
    this.tell("signed-out");
    clearTimeout(this.timers.session);
    this.timers.session = setTimeout(() => this.signedInAgain(), SESSION_MS);
  }

  async signedInAgain() {
    if (this.state !== "signed-out") return;
    if (await this.renewSession()) {
      this.tell("unsaved");
      this.send();
    } else this.signedOut();
  }

  // Fetches the form token of the session that this browser has now; only the user who wrote the text may go on.
  async renewSession() {
    try {
      const { status, body } = await this.request("GET", this.form.dataset.session);
      if (status !== 200 || body.user !== this.form.dataset.user) return false;
      this.csrf = this.form.elements.csrf.value = body.csrf;
      document.querySelectorAll("input[name=csrf]").forEach((each) => (each.value = body.csrf));
      return true;
    } catch {
      return false;
    }
  }

  // Asks whether somebody changed the draft in the meantime.
  async look() {
    if (this.state === "signed-out") return this.signedInAgain();
    if (this.state === "offline") return this.send();
    if (this.state !== "saved") return;
    try {
      const { status, body } = await this.request("GET", this.form.dataset.state);
      if (status !== 200 || this.state !== "saved" || body.revision === this.revision) return;
      this.tell("newer");
      this.page.newer(body.by);
    } catch {
      // not now
    }
  }

  async request(method, address, fields) {
    const options = { method, headers: { Accept: "application/json" }, signal: AbortSignal.timeout(TIMEOUT_MS), cache: "no-store" };
    if (fields !== undefined) {
      options.headers["Content-Type"] = "application/json";
      options.headers["If-Match"] = `"${this.revision}"`;
      options.body = JSON.stringify({ csrf: this.csrf, ...JSON.parse(fields) });
    }
    const response = await fetch(address, options);
    const body = response.headers.get("Content-Type")?.includes("json") ? await response.json() : {};
    return { status: response.status, body };
  }

  tell(state, detail) {
    this.state = state;
    this.page.show(state, detail);
  }
}

function text(fields) {
  return JSON.stringify(fields, Object.keys(fields).sort());
}
