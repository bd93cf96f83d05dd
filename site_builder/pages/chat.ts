/** The chat: the parts of the page put together. */

import { Announcer } from "./announcer.ts";
import { cachedModels } from "./cached.ts";
import { Composer } from "./composer.ts";
import {
  type Conversation, Conversations, newConversation, newMessage, titleFrom,
} from "./conversations.ts";
import { deviceWords, findDevice, isDevice, judge } from "./device.ts";
import { askName, confirmDelete } from "./dialogs.ts";
import { find, recall, remember } from "./dom.ts";
import { answerRequests } from "./endpoint.ts";
import { Trouble } from "./engine.ts";
import { type ModelFacts, readFacts } from "./facts.ts";
import { ConversationList } from "./list.ts";
import { LoadingBar } from "./loading.ts";
import { ModelSession } from "./model_session.ts";
import { Problem } from "./problem.ts";
import { ProcessorLine } from "./processor_line.ts";
import { SettingsSheet } from "./settings.ts";
import { Transcript } from "./transcript.ts";
import { Welcome } from "./welcome.ts";
import { Writer } from "./writer.ts";

class Chat {
  readonly #models = readFacts();
  readonly #picker = find<HTMLSelectElement>("[data-model]");
  readonly #conversations: Conversations;
  readonly #announcer = new Announcer(find("[data-announce]"));
  readonly #problem = new Problem();
  readonly #processor = new ProcessorLine();
  readonly #welcome = new Welcome((question) => this.#send(question));
  readonly #session = new ModelSession({
    progress: (progress) => this.#loading.report(progress),
    warning: (trouble) => this.#problem.show(trouble),
  });
  readonly #loading = new LoadingBar(
    () => this.#session.cancel(), (words) => this.#announcer.say(words),
  );
  readonly #transcript = new Transcript({
    nameOf: (id) => this.#model(id)?.name ?? "Answer",
    regenerate: () => this.#regenerate(),
  });
  readonly #list = new ConversationList({
    open: (conversation) => this.#open(conversation, true),
    rename: (conversation) => void this.#rename(conversation),
    remove: (conversation) => void this.#remove(conversation),
    startNew: () => this.#startNew(),
  });
  readonly #settings = new SettingsSheet({
    deleteAll: () => this.#removeAll(),
    changed: () => void this.#refreshKept(),
  });
  readonly #composer = new Composer({
    send: (question) => this.#send(question),
    stop: () => this.#stop(),
  });
  readonly #writer: Writer;
  #current: Conversation;
  #kept: ReadonlySet<string> = new Set();
  /** The load whose progress is shown. */
  #load = {};
  /** From a question until its answer has ended. */
  #isWaiting = false;

  private constructor(conversations: Conversations) {
    this.#conversations = conversations;
    this.#writer = new Writer(conversations, {
      changed: (conversation) => this.#changed(conversation),
      announcer: this.#announcer,
    });
    this.#current = newConversation(this.#chosenModel());
    this.#wire();
  }

  static async open(): Promise<void> {
    const chat = new Chat(await Conversations.open());
    answerRequests(() => chat.#session.any()).catch((error: unknown) => {
      console.info("the endpoint is not available here:", error);
    });
    await chat.#begin();
  }

  #wire(): void {
    this.#conversations.onTrouble((reason) => {
      this.#problem.show(new Trouble("storage", `This browser could not keep the conversation (${reason}): what is said here will be gone when you leave. Remove a downloaded model in the settings, or free disk space`));
    });
    this.#picker.addEventListener("change", () => this.#pick(this.#picker.value));
    this.#conversations.onChange((changed) => {
      if (changed.has(this.#current.id)) this.#open(this.#conversations.get(this.#current.id) ?? newConversation(this.#chosenModel()));
      else this.#show();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
      if (this.#list.isOpen) this.#list.close();
      else this.#stop();
    });
  }

  async #begin(): Promise<void> {
    const asked = new URLSearchParams(location.search).get("model");
    const before = this.#conversations.get(location.hash.slice(1));
    this.#open(before ?? this.#current);
    if (asked !== null && !before) history.replaceState(null, "", location.pathname);
    this.#composer.focus();
    document.body.dataset["ready"] = "";
    if (!this.#conversations.keeps) {
      this.#problem.show(new Trouble("storage", "This browser keeps nothing here (a private window, perhaps): conversations will be gone when you leave"));
    }
    await this.#refreshKept();
    if (await this.#hasNoDevice()) return;
    // What is already here costs nothing to load: the first answer then comes sooner.
    if (this.#kept.has(this.#current.model) && !this.#writer.isWriting) await this.#prepare().catch(() => undefined);
  }

  /** Whether nothing here can run the model for want of WebGPU; says so. */
  async #hasNoDevice(): Promise<boolean> {
    const device = await findDevice();
    const model = this.#model(this.#current.model);
    if (isDevice(device) || (model && judge(model, device).kind !== "no")) return false;
    this.#problem.show(new Trouble("no_webgpu", deviceWords(device)));
    return true;
  }

  #model(id: string | undefined): ModelFacts | undefined {
    return this.#models.find((model) => model.id === id);
  }

  #chosenModel(): string {
    const asked = new URLSearchParams(location.search).get("model");
    const wanted = [asked, recall("model")].find((id) => id !== null && this.#model(id));
    return wanted ?? this.#models[0]?.id ?? "";
  }

  #pick(id: string): void {
    remember("model", id);
    this.#current.model = id;
    if (this.#current.messages.length > 0) void this.#conversations.save(this.#current);
    this.#show();
    if (this.#kept.has(id) && !this.#writer.isWriting) void this.#prepare().catch(() => undefined);
  }

  #open(conversation: Conversation, byHand = false): void {
    const another = conversation !== this.#current;
    this.#current = conversation;
    if (!this.#model(conversation.model)) conversation.model = this.#chosenModel();
    history.replaceState(null, "", conversation.messages.length > 0 ? `#${conversation.id}` : location.pathname + location.search);
    if (another || !byHand) this.#transcript.show(conversation);
    this.#show();
    if (!byHand) return;
    this.#list.close();
    this.#composer.focus();
  }

  #startNew(): void {
    this.#problem.hide();
    this.#open(newConversation(this.#chosenModel()), true);
  }

  /** Everything around the messages. */
  #show(): void {
    this.#picker.value = this.#current.model;
    const model = this.#model(this.#current.model);
    const isEmpty = this.#current.messages.length === 0;
    this.#welcome.show(isEmpty ? model : undefined, this.#kept.has(this.#current.model));
    if (model) this.#settings.showDefaults(model);
    this.#list.show(this.#conversations.list(), this.#current.id);
    this.#composer.setBusy(this.#writer.isWriting || this.#isWaiting);
    find("[data-engine-state]").textContent = this.#session.isReady(this.#current.model) ? "Ready" : "";
  }

  #changed(conversation: Conversation): void {
    if (conversation !== this.#current) return;
    this.#transcript.update(conversation);
  }

  #send(question: string): boolean {
    if (this.#writer.isWriting || this.#isWaiting) return false;
    const conversation = this.#current;
    if (conversation.messages.length === 0 && !conversation.named) conversation.title = titleFrom(question);
    conversation.messages.push(newMessage("user", question, "done"));
    history.replaceState(null, "", `#${conversation.id}`);
    void this.#answer(conversation);
    this.#transcript.toEnd();
    return true;
  }

  #regenerate(): void {
    if (this.#writer.isWriting || this.#isWaiting) return;
    const conversation = this.#current;
    if (conversation.messages.at(-1)?.role === "assistant") conversation.messages.pop();
    void this.#answer(conversation);
    this.#composer.focus();
  }

  /** Answers the last question of `conversation`, getting the model ready first. */
  async #answer(conversation: Conversation): Promise<void> {
    this.#problem.hide();
    this.#isWaiting = true;
    const answer = newMessage("assistant", "", "writing");
    answer.model = conversation.model;
    conversation.messages.push(answer);
    this.#changed(conversation);
    this.#show();
    try {
      await this.#writer.hold(conversation, async () => {
        const engine = await this.#prepare(conversation.model);
        await this.#writer.write(engine, conversation, answer, this.#settings.values);
        await this.#processor.show(engine, answer);
      });
    } catch (error) {
      await this.#fail(conversation, answer, Trouble.from(error));
    } finally {
      this.#isWaiting = false;
      this.#changed(conversation);
      this.#show();
    }
  }

  async #fail(conversation: Conversation, answer: Conversation["messages"][number], trouble: Trouble): Promise<void> {
    answer.state = trouble.code === "aborted" ? "stopped" : "failed";
    if (!answer.text && answer.state === "failed") conversation.messages.pop();
    await this.#conversations.save(conversation);
    if (trouble.code === "aborted") return;
    if (trouble.code === "internal") await this.#session.discard();
    const retry = trouble.code === "context_length_exceeded"
      ? { label: "New chat", act: () => this.#startNew() }
      : { label: "Try again", act: () => this.#retry(conversation) };
    this.#problem.show(trouble, retry);
  }

  #retry(conversation: Conversation): void {
    if (conversation !== this.#current) this.#open(conversation, true);
    this.#regenerate();
  }

  /** Loads a model with its progress shown. */
  async #prepare(id = this.#current.model): Promise<Awaited<ReturnType<ModelSession["ensure"]>>> {
    const model = this.#model(id);
    if (!model) throw new Trouble("model_not_found", "This site no longer has that model. Pick another one above");
    const shows = !this.#session.isReady(id) && this.#session.loadingModel !== id;
    const load = shows ? {} : this.#load;
    this.#load = load;
    if (shows) this.#loading.begin(model.name, this.#kept.has(id));
    try {
      const engine = await this.#session.ensure(id);
      if (shows) await this.#processor.show(engine);
      return engine;
    } finally {
      // A load that another one has replaced must not hide that one's progress.
      if (this.#load === load) this.#loading.end();
      if (shows) void this.#refreshKept();
    }
  }

  async #refreshKept(): Promise<void> {
    const models = await cachedModels().catch(() => []);
    this.#kept = new Set(models.filter(({ complete }) => complete).map(({ model }) => model));
    for (const option of this.#picker.options) {
      const model = this.#model(option.value);
      if (model) option.textContent = this.#kept.has(model.id) ? `${model.name} ✓` : model.name;
    }
    this.#show();
  }

  #stop(): void {
    if (this.#isWaiting && this.#session.isLoading) this.#session.cancel();
    this.#writer.stop();
  }

  async #rename(conversation: Conversation): Promise<void> {
    const name = await askName(conversation.title);
    if (name === null) return;
    conversation.title = name;
    conversation.named = true;
    await this.#conversations.save(conversation);
    this.#show();
  }

  async #remove(conversation: Conversation): Promise<void> {
    const words = `“${conversation.title}” will be gone from this browser. This cannot be undone.`;
    if (!(await confirmDelete("Delete this conversation?", words))) return;
    if (this.#writer.isWritingIn(conversation)) await this.#writer.stopAndWait();
    await this.#conversations.remove(conversation.id);
    if (conversation === this.#current) this.#startNew();
    else this.#show();
  }

  async #removeAll(): Promise<void> {
    await this.#writer.stopAndWait();
    await this.#conversations.removeAll();
    this.#startNew();
  }
}

await Chat.open();
