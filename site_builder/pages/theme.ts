/** Light or dark, decided before the first paint: the visitor's choice, else the system's. */

import { recall } from "./dom.ts";

const chosen = recall("theme");
const system = matchMedia("(prefers-color-scheme: dark)");

function apply(): void {
  const kept = recall("theme") ?? chosen;
  const known = kept === "dark" || kept === "light";
  document.documentElement.dataset["theme"] = known ? kept : system.matches ? "dark" : "light";
}

apply();
system.addEventListener("change", apply);
addEventListener("storage", apply);
