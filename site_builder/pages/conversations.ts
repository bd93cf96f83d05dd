/** Conversations, kept in this browser: IndexedDB for all of them, and a journal in localStorage
 * for the answer that is being written, because only that can be saved while a page is closing.
 *
 * Where the browser keeps nothing (some private windows) they live in memory, and `keeps` is false.
 */

import { recall, remember, storageName, uniqueId } from "./dom.ts";

export interface Message {
  readonly id: string;
  readonly role: "user" | "assistant";
  text: string;
  /** What a model that reasons wrote before its answer. */
  thinking?: string;
  /** "writing" while it streams; after a reload such an answer is "stopped". */
  state: "done" | "writing" | "stopped" | "failed";
  /** The model that wrote it. */
  model?: string;
  first_token_ms?: number;
  tokens_per_second?: number;
  /** How many it took. */
  tokens?: number;
}

export interface Conversation {
  readonly id: string;
  title: string;
  /** Named by the visitor: a first question no longer renames it. */
  named: boolean;
  model: string;
  updated: number;
  messages: Message[];
}

interface Journal {
  readonly conversation: string;
  readonly message: string;
  readonly text: string;
}

const TABLE = "conversations";
const JOURNAL = "journal";

export function newConversation(model: string): Conversation {
  return {
    id: uniqueId(), title: "New chat", named: false, model, updated: Date.now(), messages: [],
  };
}

export function newMessage(role: Message["role"], text: string, state: Message["state"]): Message {
  return { id: uniqueId(), role, text, state };
}

/** A title from the first question: its first line, cut at a word. */
export function titleFrom(question: string): string {
  const line = question.trim().split("\n")[0] ?? "";
  if (line.length <= 48) return line || "New chat";
  return `${line.slice(0, 48).replace(/\s+\S*$/, "")}…`;
}

export class Conversations {
  readonly #database: IDBDatabase | null;
  readonly #all = new Map<string, Conversation>();
  /** Those whose answer is being written by this tab: what other tabs say of them is older. */
  readonly #writing = new Set<string>();
  /** Those that the browser had no room for: what it keeps of them is older. */
  readonly #unsaved = new Set<string>();
  #onTrouble: (reason: string) => void = () => undefined;
  readonly #channel = new BroadcastChannel(storageName("conversations"));

  private constructor(database: IDBDatabase | null) {
    this.#database = database;
  }

  static async open(): Promise<Conversations> {
    const opened = new Conversations(await openDatabase().catch(() => null));
    await opened.#reload();
    await opened.#recover();
    return opened;
  }

  /** Whether they are still here after a reload. */
  get keeps(): boolean {
    return this.#database !== null;
  }

  /** Newest first. */
  list(): Conversation[] {
    return [...this.#all.values()].sort((a, b) => b.updated - a.updated);
  }

  get(id: string): Conversation | undefined {
    return this.#all.get(id);
  }

  /** Calls `listener` with what other tabs have changed, after reading it. */
  onChange(listener: (changed: ReadonlySet<string>) => void): void {
    this.#channel.addEventListener("message", () => void this.#reload().then(listener));
  }

  /** Calls `listener` when a conversation cannot be kept; it lives on in this page. */
  onTrouble(listener: (reason: string) => void): void {
    this.#onTrouble = listener;
  }

  /** Runs `work` while the answer of conversation `id` belongs to this tab. */
  async hold(id: string, work: () => Promise<void>): Promise<void> {
    this.#writing.add(id);
    try {
      // Pages that are not secure have no locks.
      if (isSecureContext) await navigator.locks.request(writingLock(id), work);
      else await work();
    } finally {
      this.#writing.delete(id);
    }
  }

  /** Reads what other tabs wrote, and gives the ids of what is new, different or gone. */
  async #reload(): Promise<ReadonlySet<string>> {
    const changed = new Set<string>();
    if (!this.#database) return changed;
    const table = this.#database.transaction(TABLE).objectStore(TABLE);
    const rows = await request<Conversation[]>(table.getAll());
    const kept = new Set(rows.map(({ id }) => id));
    for (const id of this.#all.keys()) {
      if (!kept.has(id) && !this.#isNewerHere(id) && this.#all.delete(id)) changed.add(id);
    }
    for (const row of rows) {
      const here = this.#all.get(row.id);
      if (this.#isNewerHere(row.id) || here?.updated === row.updated) continue;
      if (here) Object.assign(here, row);
      else this.#all.set(row.id, row);
      changed.add(row.id);
    }
    return changed;
  }

  #isNewerHere(id: string): boolean {
    return this.#writing.has(id) || this.#unsaved.has(id);
  }

  /** Keeps `conversation`, in this page at least: a full disk must not end a chat. */
  async save(conversation: Conversation): Promise<void> {
    conversation.updated = Date.now();
    this.#all.set(conversation.id, conversation);
    try {
      await this.#change((table) => table.put(conversation));
      this.#unsaved.delete(conversation.id);
    } catch (error) {
      const isNews = this.#unsaved.size === 0;
      this.#unsaved.add(conversation.id);
      if (isNews) this.#onTrouble(error instanceof Error ? error.message : String(error));
    }
  }

  async remove(id: string): Promise<void> {
    this.#all.delete(id);
    this.#unsaved.delete(id);
    await this.#change((table) => table.delete(id));
  }

  async removeAll(): Promise<void> {
    this.#all.clear();
    this.#unsaved.clear();
    remember(JOURNAL, null);
    await this.#change((table) => table.clear());
  }

  /** Keeps the growing answer at once; cheap enough to call when the page is hidden. */
  note(conversation: Conversation, message: Message): void {
    const entry: Journal = { conversation: conversation.id, message: message.id, text: message.text };
    remember(JOURNAL, JSON.stringify(entry));
  }

  forgetNote(): void {
    remember(JOURNAL, null);
  }

  /** Answers that a reload cut short get what the journal has of them, and are then "stopped". */
  async #recover(): Promise<void> {
    const kept = recall(JOURNAL);
    const journal = kept === null ? null : (JSON.parse(kept) as Journal);
    for (const conversation of this.#all.values()) {
      const cut = conversation.messages.filter(({ state }) => state === "writing");
      if (cut.length === 0 || await writtenElsewhere(conversation.id)) continue;
      for (const message of cut) {
        const longer = journal?.message === message.id && journal.text.length > message.text.length;
        if (longer) message.text = journal.text;
        message.state = "stopped";
      }
      await this.save(conversation);
    }
  }

  /** Changes the database and tells other tabs; rejects when the change was not kept. */
  async #change(change: (table: IDBObjectStore) => void): Promise<void> {
    if (!this.#database) return;
    const transaction = this.#database.transaction(TABLE, "readwrite");
    change(transaction.objectStore(TABLE));
    await committed(transaction);
    this.#channel.postMessage("changed");
  }
}

/** The lock a tab holds while it writes an answer of conversation `id`. */
function writingLock(id: string): string {
  return storageName(`writing ${id}`);
}

async function writtenElsewhere(id: string): Promise<boolean> {
  if (!isSecureContext) return false;
  const { held } = await navigator.locks.query();
  return held?.some(({ name }) => name === writingLock(id)) ?? false;
}

async function openDatabase(): Promise<IDBDatabase> {
  const opening = indexedDB.open(storageName("chat"), 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(TABLE, { keyPath: "id" });
  return request(opening);
}

/** A full disk is noticed at the end of a transaction, after its requests have succeeded. */
function committed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("the database gave up"));
  });
}

function request<T>(asked: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error ?? new Error("the browser's database failed"));
  });
}
