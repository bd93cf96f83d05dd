/** Integer expressions of a plan, turned once into closures: same values as `Expr.evaluate`. */

import { ModelpressError } from "./errors.ts";
import type { Expr, Operator } from "./formats.ts";

export type Symbols = { readonly [name: string]: number };
export type Evaluate = (symbols: Symbols) => number;

/** An expression ready to run: a number when it names no symbol, else a function of them. */
export type Compiled = number | Evaluate;

const OPERATIONS: { readonly [operator in Operator]: (a: number, b: number) => number } = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "//": (a, b) => Math.floor(a / b),
  "%": (a, b) => a - b * Math.floor(a / b),
  min: Math.min,
  max: Math.max,
  "<<": (a, b) => a * 2 ** b,
  ">>": (a, b) => Math.floor(a / 2 ** b),
  "&": (a, b) => Number(BigInt(a) & BigInt(b)),
};

export function compileExpr(expr: Expr): Compiled {
  if (typeof expr === "number") return expr;
  if (typeof expr === "string") return (symbols) => lookUp(symbols, expr);
  const operation = OPERATIONS[expr[0]];
  const left = compileExpr(expr[1]);
  const right = compileExpr(expr[2]);
  if (typeof left === "number" && typeof right === "number") return operation(left, right);
  return (symbols) => operation(evaluate(left, symbols), evaluate(right, symbols));
}

export function evaluate(compiled: Compiled, symbols: Symbols): number {
  return typeof compiled === "number" ? compiled : compiled(symbols);
}

/** The value of an expression in the step that is being encoded. */
export interface Cell {
  readonly varies: boolean;
  value: number;
}

/** Expressions that steps share: each is evaluated once a step, however many dispatches use it. */
export class Cells {
  readonly #known = new Map<string, Cell>();
  readonly #varying: { readonly cell: Cell; readonly evaluate: Evaluate }[] = [];

  /** The cell of `expr`; equal expressions have the same one. */
  of(expr: Expr): Cell {
    const key = JSON.stringify(expr);
    let cell = this.#known.get(key);
    if (!cell) {
      const compiled = compileExpr(expr);
      const varies = typeof compiled === "function";
      cell = { varies, value: varies ? 0 : compiled };
      if (varies) this.#varying.push({ cell, evaluate: compiled });
      this.#known.set(key, cell);
    }
    return cell;
  }

  update(symbols: Symbols): void {
    for (const { cell, evaluate } of this.#varying) cell.value = evaluate(symbols);
  }
}

function lookUp(symbols: Symbols, name: string): number {
  const value = symbols[name];
  if (value === undefined) {
    throw new ModelpressError("internal", `the plan needs the symbol ${name}, which is not given`);
  }
  return value;
}
