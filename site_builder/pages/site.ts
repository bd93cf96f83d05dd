/** What every page does: the theme's button, the service worker, and requests to the endpoint. */

import { remember, siteRoot } from "./dom.ts";
import { answerRequests } from "./endpoint.ts";

const toggle = document.querySelector<HTMLButtonElement>("[data-theme-toggle]");
if (toggle) {
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    const root = document.documentElement;
    const theme = root.dataset["theme"] === "dark" ? "light" : "dark";
    root.dataset["theme"] = theme;
    remember("theme", theme);
  });
}

/** What is lost without them, as in some private windows: use offline, and the endpoint. */
async function startServiceWorker(): Promise<void> {
  const root = siteRoot();
  await navigator.serviceWorker.register(new URL("sw.js", root), { scope: root.pathname });
  // The chat answers with the engine that it has.
  if (!document.body.classList.contains("app")) await answerRequests();
}

if (isSecureContext && "serviceWorker" in navigator) {
  startServiceWorker().catch((error: unknown) => {
    console.info("offline use or the endpoint is not available here:", error);
  });
}
