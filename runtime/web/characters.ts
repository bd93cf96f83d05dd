/** Sets of characters, written as ranges of code points. */

/** A pattern for every character of the ranges: "300-36f 483-487 711", in hexadecimal. */
export function characters(...lines: readonly string[]): RegExp {
  const runs = lines.join(" ").split(" ");
  const ranges = runs.map((run) => run.replace(/[0-9a-f]+/g, "\\u{$&}"));
  return new RegExp(`[${ranges.join("")}]`, "gu");
}
