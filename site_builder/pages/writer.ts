/** Writes one answer: asks the engine, follows its stream, and saves as it goes. */

import type { Announcer } from "./announcer.ts";
import { type Conversation, type Conversations, type Message } from "./conversations.ts";
import { type ChatMessage, type Engine, Trouble } from "./engine.ts";
import type { Settings } from "./settings.ts";

const SAVE_EVERY_MS = 1000;

export interface WriterListener {
  readonly changed: (conversation: Conversation) => void;
  readonly announcer: Announcer;
}

export class Writer {
  readonly #conversations: Conversations;
  readonly #listener: WriterListener;
  #writing: { readonly conversation: Conversation; readonly answer: Message; readonly stop: AbortController } | undefined;
  #held: { readonly conversation: Conversation; readonly done: Promise<void> } | undefined;

  constructor(conversations: Conversations, listener: WriterListener) {
    this.#conversations = conversations;
    this.#listener = listener;
    // The last moment in which a page can keep anything.
    addEventListener("pagehide", () => this.#note());
    document.addEventListener("visibilitychange", () => this.#note());
  }

  get isWriting(): boolean {
    return this.#writing !== undefined;
  }

  isWritingIn(conversation: Conversation): boolean {
    return this.#held?.conversation === conversation;
  }

  stop(): void {
    this.#writing?.stop.abort();
  }

  async stopAndWait(): Promise<void> {
    this.stop();
    await this.#held?.done.catch(() => undefined);
  }

  /** Runs `work` with the conversation saved and, for other tabs, marked as being written. */
  async hold(conversation: Conversation, work: () => Promise<void>): Promise<void> {
    const done = this.#conversations.hold(conversation.id, async () => {
      await this.#conversations.save(conversation);
      await work();
    });
    this.#held = { conversation, done };
    try {
      await done;
    } finally {
      this.#held = undefined;
    }
  }

  /** Streams the answer to the messages before it. Raises Trouble; what came stays in `answer`. */
  async write(engine: Engine, conversation: Conversation, answer: Message, settings: Settings): Promise<void> {
    const stop = new AbortController();
    this.#writing = { conversation, answer, stop };
    this.#listener.announcer.begin();
    const saving = setInterval(() => void this.#conversations.save(conversation), SAVE_EVERY_MS);
    try {
      await this.#stream(engine, conversation, answer, settings, stop.signal);
      answer.state = stop.signal.aborted ? "stopped" : "done";
    } catch (error) {
      const trouble = Trouble.from(error);
      if (trouble.code !== "aborted") throw trouble;
      answer.state = "stopped";
    } finally {
      clearInterval(saving);
      this.#writing = undefined;
      await this.#conversations.save(conversation);
      this.#conversations.forgetNote();
      this.#listener.announcer.finish(answer.text);
    }
  }

  async #stream(
    engine: Engine, conversation: Conversation, answer: Message, settings: Settings, signal: AbortSignal,
  ): Promise<void> {
    const { system, ...sampling } = settings;
    const asked = performance.now();
    const times: number[] = [];
    const stream = await engine.chat.completions.create(
      {
        model: answer.model ?? conversation.model,
        messages: promptOf(conversation, answer, system),
        stream: true,
        stream_options: { include_usage: true },
        ...sampling,
      },
      { signal },
    );
    for await (const chunk of stream) {
      const { content, reasoning_content } = chunk.choices[0]?.delta ?? {};
      if (reasoning_content) this.#think(conversation, answer, reasoning_content, times);
      if (content) this.#grow(conversation, answer, content, times);
      if (times[0] !== undefined) answer.first_token_ms = times[0] - asked;
      if (chunk.usage) setSpeed(answer, chunk.usage.completion_tokens, times);
    }
  }

  #think(conversation: Conversation, answer: Message, added: string, times: number[]): void {
    times.push(performance.now());
    answer.thinking = (answer.thinking ?? "") + added;
    this.#listener.changed(conversation);
  }

  #grow(conversation: Conversation, answer: Message, added: string, times: number[]): void {
    times.push(performance.now());
    answer.text += added;
    this.#listener.announcer.follow(answer.text);
    this.#listener.changed(conversation);
  }

  #note(): void {
    if (this.#writing) this.#conversations.note(this.#writing.conversation, this.#writing.answer);
  }
}

/** The messages a model is given: what was said, without answers that ended before a word.
 *
 * Questions that such an answer has left side by side become one: some templates insist on turns.
 */
function promptOf(conversation: Conversation, answer: Message, system: string | undefined): ChatMessage[] {
  const before = conversation.messages.slice(0, conversation.messages.indexOf(answer));
  const said: { role: Message["role"]; content: string }[] = [];
  for (const { role, text } of before.filter(({ text }) => text !== "")) {
    const last = said.at(-1);
    if (last?.role === role) last.content += `\n\n${text}`;
    else said.push({ role, content: text });
  }
  return system ? [{ role: "system", content: system }, ...said] : said;
}

/** Tokens a second between the first and the last that the page saw. */
function setSpeed(answer: Message, tokens: number, times: readonly number[]): void {
  answer.tokens = tokens;
  const elapsed = (times.at(-1) ?? 0) - (times[0] ?? 0);
  if (tokens > 1 && elapsed > 0) answer.tokens_per_second = ((tokens - 1) * 1000) / elapsed;
}
