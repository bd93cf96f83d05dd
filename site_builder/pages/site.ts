/** What every page does: the theme's button, and the service worker that makes it work offline. */

import { remember, siteRoot } from "./dom.ts";

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

if (isSecureContext && "serviceWorker" in navigator) {
  const root = siteRoot();
  // Only offline use is lost when it cannot be registered, as in some private windows.
  navigator.serviceWorker.register(new URL("sw.js", root), { scope: root.pathname }).catch(
    (error: unknown) => console.info("offline use is not available here:", error),
  );
}
