/** The catalogue's live part: does each model fit here, is it downloaded, and the filters. */

import { cachedModels } from "./cached.ts";
import { deviceWords, findDevice, isDevice, judge, type Verdict } from "./device.ts";
import { find, make, siteRoot } from "./dom.ts";
import { type ModelFacts, readFacts } from "./facts.ts";

const models = readFacts();
const fitting = new Set<string>();
const kept = new Set<string>();

async function showDevice(): Promise<void> {
  const device = await findDevice();
  for (const line of document.querySelectorAll("[data-device]")) {
    line.textContent = deviceWords(device);
    if (isDevice(device) && !device.software) continue;
    const help = new URL("webgpu/index.html", siteRoot()).href;
    if (location.href.split("#")[0] !== help) line.append(" ", make("a", { href: help }, "What to do"));
  }
  for (const model of models) showVerdict(model, judge(model, device));
}

function showVerdict(model: ModelFacts, verdict: Verdict): void {
  if (verdict.kind !== "no") fitting.add(model.id);
  const shape = {
    fits: "badge-good", slow: "badge-warn", tight: "badge-warn", no: "badge-bad",
  }[verdict.kind];
  for (const badge of tagged("data-verdict", model.id)) {
    badge.textContent = verdict.words;
    badge.title = verdict.detail;
    badge.classList.add(shape);
    badge.hidden = false;
  }
  for (const line of tagged("data-verdict-detail", model.id)) line.textContent = verdict.detail;
}

async function showCached(): Promise<void> {
  for (const { model, complete } of await cachedModels()) {
    if (!complete) continue;
    kept.add(model);
    for (const badge of tagged("data-cached", model)) badge.hidden = false;
  }
}

function tagged(attribute: string, id: string): NodeListOf<HTMLElement> {
  return document.querySelectorAll(`[${attribute}="${CSS.escape(id)}"]`);
}

function wireFilters(filters: HTMLElement): void {
  filters.hidden = false;
  const search = find<HTMLInputElement>("[data-search]", filters);
  const onlyFits = find<HTMLInputElement>("[data-only-fits]", filters);
  const onlyCached = find<HTMLInputElement>("[data-only-cached]", filters);
  const apply = (): void => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = (card: HTMLElement): boolean => {
      const id = card.dataset["model"] ?? "";
      const text = `${id} ${card.textContent}`.toLowerCase();
      return words.every((word) => text.includes(word))
        && (!onlyFits.checked || fitting.has(id)) && (!onlyCached.checked || kept.has(id));
    };
    showOnly(wanted);
  };
  filters.addEventListener("input", apply);
}

function showOnly(wanted: (card: HTMLElement) => boolean): void {
  const cards = [...document.querySelectorAll<HTMLElement>("[data-catalogue] > [data-model]")];
  for (const card of cards) card.hidden = !wanted(card);
  const shown = cards.filter((card) => !card.hidden).length;
  find("[data-nothing]").hidden = shown > 0;
  find("[data-count]").textContent = `${shown} of ${cards.length} models shown`;
}

const filters = document.querySelector<HTMLElement>("[data-filters]");
if (filters) wireFilters(filters);
await Promise.all([showDevice(), showCached()]);
