// Images from this computer: stored on the server at once, and shown by their address there.

const TIMEOUT_MS = 300_000;

export function connectUploads(form, texts) {
  for (const place of document.querySelectorAll("[data-upload]")) {
    const input = place.querySelector("input");
    place.hidden = false;
    input.addEventListener("change", () => input.files[0] && upload(form, input, place.querySelector("[role=status]"), texts));
  }
}

async function upload(form, input, status, texts) {
  const address = document.getElementById(input.dataset.for);
  status.textContent = texts.uploading;
  try {
    const response = await fetch(form.dataset.media, {
      method: "POST",
      headers: { Accept: "application/json", "X-Form-Token": form.elements.csrf.value, "Content-Type": "application/octet-stream" },
      body: input.files[0],
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const answer = await response.json().catch(() => ({})); // a proxy may refuse what is too large, with a page of its own
    if (!response.ok) throw new Error(answer.detail ?? String(response.status));
    address.value = answer.url;
    address.dispatchEvent(new Event("input", { bubbles: true }));
    status.textContent = texts.uploaded;
  } catch (error) {
    status.textContent = `${texts["not-uploaded"]} ${error.message ?? ""}`;
  }
  input.value = "";
}
