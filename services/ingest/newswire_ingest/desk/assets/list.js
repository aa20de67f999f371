// The list of the desk: the next page is appended where it ends. Without this script, its link opens that page.

const more = () => document.querySelector("[data-more]");
const watcher = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && load(), { rootMargin: "600px" });
let isLoading = false;

async function load() {
  const link = more();
  if (!link || isLoading) return;
  isLoading = true;
  try {
    const response = await fetch(link.href, { headers: { Accept: "text/html" } });
    if (!response.ok || response.redirected) return; // the link still works
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    document.querySelector("[data-list]").append(...page.querySelectorAll("[data-list] > li"));
    const next = page.querySelector("[data-more]");
    if (next) link.href = next.href;
    else link.parentElement.remove();
  } catch {
    return;
  } finally {
    isLoading = false;
  }
  watch();
}

function watch() {
  watcher.disconnect();
  if (more()) watcher.observe(more());
}

watch();
for (const select of document.querySelectorAll("[data-send]")) select.addEventListener("change", () => select.form.requestSubmit());
