/** The engine's life on this page: started when it is needed, one model at a time. */

import { type Engine, type Progress, startEngine, Trouble } from "./engine.ts";

export interface SessionListener {
  readonly progress: (progress: Progress) => void;
  /** Something that stops nothing, such as a model that could not be kept. */
  readonly warning: (trouble: Trouble) => void;
}

export class ModelSession {
  readonly #listener: SessionListener;
  #engine: Engine | undefined;
  #loaded: string | undefined;
  #loading: { readonly model: string; readonly done: Promise<Engine>; readonly stop: AbortController } | undefined;

  constructor(listener: SessionListener) {
    this.#listener = listener;
  }

  isReady(model: string): boolean {
    return this.#engine !== undefined && this.#loaded === model;
  }

  get isLoading(): boolean {
    return this.#loading !== undefined;
  }

  /** The model on its way, unless its load is being stopped. */
  get loadingModel(): string | undefined {
    return this.#loading?.stop.signal.aborted ? undefined : this.#loading?.model;
  }

  /** The engine with `model` loaded; a load of another one is stopped first. Raises Trouble. */
  async ensure(model: string): Promise<Engine> {
    // Whoever else waited for the load to stop may have begun another one.
    while (this.#loading && this.loadingModel !== model) await this.#stopLoading();
    if (this.#engine && this.#loaded === model) return this.#engine;
    if (this.#loading) return this.#loading.done;
    const stop = new AbortController();
    const done = this.#load(model, stop.signal);
    this.#loading = { model, done, stop };
    try {
      return await done;
    } finally {
      if (this.#loading?.stop === stop) this.#loading = undefined;
    }
  }

  /** The engine with whatever model it has, for requests that do not come from this page. */
  async any(): Promise<Engine> {
    await this.#loading?.done.catch(() => undefined);
    this.#engine ??= await startEngine({});
    return this.#engine;
  }

  /** Stops a load; whoever waits for it gets "aborted". */
  cancel(): void {
    this.#loading?.stop.abort();
  }

  /** After an error that leaves no trust in the worker: the next question starts another one. */
  async discard(): Promise<void> {
    const engine = this.#engine;
    this.#engine = undefined;
    this.#loaded = undefined;
    await engine?.close();
  }

  async #stopLoading(): Promise<void> {
    const before = this.#loading;
    this.cancel();
    await before?.done.catch(() => undefined);
  }

  async #load(model: string, signal: AbortSignal): Promise<Engine> {
    const { progress: onProgress, warning } = this.#listener;
    try {
      this.#loaded = undefined;
      if (this.#engine) await this.#engine.load(model, { onProgress, signal });
      else {
        const onWarning = (error: unknown): void => warning(Trouble.from(error));
        this.#engine = await startEngine({ model, onProgress, onWarning, signal });
      }
      this.#loaded = model;
      return this.#engine;
    } catch (error) {
      const trouble = Trouble.from(error);
      if (trouble.code === "internal") await this.discard();
      throw trouble;
    }
  }
}
