// Passkeys: each form with data-passkey asks an authenticator, and then sends what it answered as its field "credential".

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const REFRESH_MS = 8 * 60 * 1000; // before the challenge expires

// The methods that browsers and password managers have for this (toJSON and others) are missing or broken in many of them.
function decoded(options) {
  const credentials = (list) => (list ?? []).map((each) => ({ ...each, id: bytes(each.id) }));
  return {
    ...options,
    challenge: bytes(options.challenge),
    ...(options.user && { user: { ...options.user, id: bytes(options.user.id) } }),
    ...(options.excludeCredentials && { excludeCredentials: credentials(options.excludeCredentials) }),
    ...(options.allowCredentials && { allowCredentials: credentials(options.allowCredentials) }),
  };
}

function encoded(credential) {
  const { response } = credential;
  const parts = { clientDataJSON: text(response.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (response[name]) parts[name] = text(response[name]);
  }
  if (response.getTransports) parts.transports = response.getTransports();
  return JSON.stringify({ id: credential.id, rawId: text(credential.rawId), type: credential.type, response: parts });
}

let waiting = null; // what the autocompletion of the sign-in form waits for

async function ask(form, mediation) {
  waiting?.abort();
  const abort = new AbortController();
  waiting = abort;
  const response = await fetch(form.dataset.options, { headers: { Accept: "application/json" }, signal: abort.signal });
  if (response.status === 401 || response.status === 403) return location.reload(); // the page says what to do first
  if (!response.ok) throw new Error(`the options of the passkey: ${response.status}`);
  const publicKey = decoded(await response.json());
  const options = { publicKey, signal: abort.signal, ...(mediation && { mediation }) };
  const credential = await (form.dataset.passkey === "create" ? navigator.credentials.create(options) : navigator.credentials.get(options));
  form.elements.credential.value = encoded(credential);
  form.requestSubmit();
}

function explain(form, error) {
  if (error.name === "AbortError") return; // replaced by a later question
  const place = form.querySelector("[data-problem]");
  const { cancelled, known, failed } = place.dataset;
  place.textContent = { NotAllowedError: cancelled, InvalidStateError: known ?? failed }[error.name] ?? failed;
  place.hidden = false;
}

function setUp(form) {
  const button = form.querySelector("button");
  form.hidden = false;
  let isAnswered = false;
  form.addEventListener("submit", (event) => {
    if (isAnswered || form.elements.credential.value) {
      isAnswered = true;
      return;
    }
    event.preventDefault();
    form.querySelector("[data-problem]").hidden = true;
    button.disabled = true;
    ask(form).catch((error) => explain(form, error)).finally(() => (button.disabled = false));
  });
  // A page that comes back from the browser's cache must not send an answer twice.
  addEventListener("pageshow", () => {
    form.elements.credential.value = "";
    isAnswered = false;
  });
}

async function offer(form) {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  const again = () => ask(form, "conditional").catch(() => {});
  again();
  setInterval(() => !form.querySelector("button").disabled && again(), REFRESH_MS);
}

if (window.PublicKeyCredential) {
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    setUp(form);
    if (form.dataset.passkey === "offer") offer(form);
  }
} else {
  for (const place of document.querySelectorAll("[data-no-passkeys]")) place.hidden = false;
}
