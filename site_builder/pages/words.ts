/** Numbers in words, the same way on every page. Sizes are decimal, as disks count them. */

/** 999 B, 12.3 MB, 4.50 GB. */
export function bytes(number: number): string {
  if (number < 1000) return `${number} B`;
  let value = number;
  let unit = "";
  for (unit of ["kB", "MB", "GB"]) {
    value /= 1000;
    if (value < 999.5) break;
  }
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${unit}`;
}

/** "5.1 of 12.3 MB": both in the unit of the second. */
export function bytesOf(done: number, total: number): string {
  const scale = total < 1000 ? 1 : total < 1e6 ? 1e3 : total < 1e9 ? 1e6 : 1e9;
  const unit = { 1: "B", 1e3: "kB", 1e6: "MB", 1e9: "GB" }[scale];
  const digits = scale === 1 ? 0 : total / scale < 10 ? 2 : 1;
  return `${(done / scale).toFixed(digits)} of ${(total / scale).toFixed(digits)} ${unit}`;
}

/** 0.42 s, 12 s. */
export function seconds(milliseconds: number): string {
  const value = milliseconds / 1000;
  return `${value.toFixed(value < 1 ? 2 : value < 10 ? 1 : 0)} s`;
}

/** Words and numbers of a text, as people count them. */
export function countWords(text: string): number {
  return text.split(/\s+/).filter(Boolean).length;
}

/** 3.4, 41 tokens a second. */
export function rate(tokensPerSecond: number): string {
  return tokensPerSecond.toFixed(tokensPerSecond < 10 ? 1 : 0);
}

const STAGES: Readonly<Record<string, string>> = {
  registry: "Looking the model up",
  plan: "Reading its plan",
  compile: "Preparing the device",
  download: "Downloading",
  synthesize: "Making random weights",
  upload: "Moving the model into place",
  "self-test": "Checking that this device computes correctly",
  tune: "Finding the fastest way for this device",
  fallback: "Trying another way: the first one is not for this device",
  ready: "Ready",
  bench: "Measuring",
  embed: "Computing, in tokens",
};

/** What the engine is doing, in words. */
export function stageWords(stage: string): string {
  return STAGES[stage] ?? "Getting ready";
}
