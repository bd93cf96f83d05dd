/** Getting a model ready, shown honestly: bytes while bytes come, words for everything else. */

import { find } from "./dom.ts";
import type { Progress } from "./engine.ts";
import { bytesOf, stageWords } from "./words.ts";

export class LoadingBar {
  readonly #box = find("[data-loading]");
  readonly #words = find("[data-loading-words]");
  readonly #bar = find<HTMLProgressElement>("[data-loading-bar]");
  readonly #announce: (words: string) => void;
  #stages = new Map<string, Progress>();
  #fromDisk = false;
  #frame = 0;
  #said = "";

  constructor(cancel: () => void, announce: (words: string) => void) {
    this.#announce = announce;
    find("[data-loading-cancel]").addEventListener("click", cancel);
  }

  /** `fromDisk`: the model was downloaded before, so its bytes are read, not fetched. */
  begin(name: string, fromDisk: boolean): void {
    this.#stages.clear();
    this.#fromDisk = fromDisk;
    this.#said = "";
    this.#words.textContent = `Starting the engine for ${name}`;
    this.#bar.removeAttribute("value");
    this.#box.hidden = false;
    this.#announce(`Getting ${name} ready.`);
  }

  end(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#box.hidden = true;
  }

  report(progress: Progress): void {
    this.#stages.set(progress.stage, progress);
    if (this.#frame === 0 && !this.#box.hidden) this.#frame = requestAnimationFrame(() => this.#show());
  }

  #show(): void {
    this.#frame = 0;
    const download = this.#stages.get("download");
    const isComing = download !== undefined && download.done < download.total;
    const last = [...this.#stages.values()].at(-1);
    if (isComing) this.#showBytes(download);
    else if (last) this.#showStage(this.#unfinished() ?? last);
  }

  #showBytes({ done, total }: Progress): void {
    const verb = this.#fromDisk ? "Reading" : "Downloading";
    const compile = this.#stages.get("compile");
    const beside = compile && compile.done < compile.total ? ` · shader ${compile.done} of ${compile.total}` : "";
    this.#words.textContent = `${verb} ${bytesOf(done, total)}${beside}`;
    this.#bar.value = total > 0 ? done / total : 0;
    this.#sayQuarters(verb, done / total);
  }

  #showStage({ stage, done, total, unit }: Progress): void {
    const words = stageWords(stage);
    const amount = total > 1 ? `: ${unit === "bytes" ? bytesOf(done, total) : `${done} of ${total}`}` : "";
    this.#words.textContent = words + amount;
    if (total > 1) this.#bar.value = done / total;
    else this.#bar.removeAttribute("value");
  }

  #unfinished(): Progress | undefined {
    return [...this.#stages.values()].find(({ done, total }) => done < total);
  }

  #sayQuarters(verb: string, share: number): void {
    const words = `${verb}: ${Math.floor(share * 4) * 25} percent.`;
    if (words === this.#said) return;
    this.#said = words;
    this.#announce(words);
  }
}
