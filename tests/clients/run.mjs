// The table of requests by two JavaScript clients: OpenAI's own, and the Vercel AI SDK.
//
//   node tests/clients/run.mjs http://localhost:8000/v1 MODEL < table.json
//
// Prints {client: {case: what came back}} as JSON.

import { readFileSync } from "node:fs";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, streamText } from "ai";
import OpenAI from "openai";

const [baseURL, model] = process.argv.slice(2);
const table = JSON.parse(readFileSync(0, "utf8"));

const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const provider = createOpenAICompatible({ name: "modelpress", baseURL, includeUsage: true });

function chat({ choices, usage }) {
  const thoughts = choices.map((choice) => choice.message.reasoning_content);
  const calls = choices[0].message.tool_calls?.map((call) => call.function);
  return {
    texts: choices.map((choice) => choice.message.content),
    reasons: choices.map((choice) => choice.finish_reason),
    ...(thoughts[0] && { reasoning: thoughts }),
    ...(calls && { calls: calls.map(({ name, arguments: text }) => [name, JSON.parse(text)]) }),
    tokens: choices.map((choice) => choice.logprobs?.content.map(({ token }) => token)),
    alternatives: choices[0].logprobs?.content[0].top_logprobs.length,
    completion_tokens: usage.completion_tokens,
  };
}

function completion({ choices, usage }) {
  return {
    texts: choices.map((choice) => choice.text),
    reasons: choices.map((choice) => choice.finish_reason),
    tokens: choices.map((choice) => choice.logprobs?.tokens),
    completion_tokens: usage.completion_tokens,
  };
}

async function joined(chunks, textOf) {
  const [texts, reasons, reasoning, calls] = [[], [], [], []];
  let usage;
  for await (const chunk of chunks) {
    usage = chunk.usage ?? usage;
    for (const choice of chunk.choices) {
      texts[choice.index] = (texts[choice.index] ?? "") + textOf(choice);
      reasons[choice.index] = choice.finish_reason ?? reasons[choice.index];
      const thought = choice.delta?.reasoning_content;
      if (thought) reasoning[choice.index] = (reasoning[choice.index] ?? "") + thought;
      for (const { index, function: { name, arguments: text } } of choice.delta?.tool_calls ?? []) {
        const [before, said] = calls[index] ?? ["", ""];
        calls[index] = [before + (name ?? ""), said + (text ?? "")];
      }
    }
  }
  return {
    texts,
    reasons,
    ...(reasoning.length > 0 && { reasoning }),
    ...(calls.length > 0 && { calls: calls.map(([name, text]) => [name, JSON.parse(text)]) }),
    completion_tokens: usage?.completion_tokens,
  };
}

const openai = {
  chat: async (request) => chat(await client.chat.completions.create(request)),
  chat_stream: async (request) => {
    const chunks = await client.chat.completions.create({ ...request, stream: true });
    return joined(chunks, ({ delta }) => delta.content ?? "");
  },
  completion: async (request) => completion(await client.completions.create(request)),
  completion_stream: async (request) => {
    const chunks = await client.completions.create({ ...request, stream: true });
    return joined(chunks, ({ text }) => text);
  },
  embedding: async (request) => {
    const { data } = await client.embeddings.create(request);
    return { dimensions: data.map(({ embedding }) => embedding.length) };
  },
  models: async () => {
    const ids = [];
    for await (const { id } of client.models.list()) ids.push(id);
    return { ids };
  },
  model: async (request) => ({ ids: [(await client.models.retrieve(request.model)).id] }),
  left: async (request) => {
    const chunks = await client.chat.completions.create({ ...request, stream: true });
    for await (const { choices } of chunks) {
      if (choices[0].delta.content) return { texts: [choices[0].delta.content] };
    }
    return {};
  },
};

function toolOf({ function: { name, parameters } }) {
  return [name, { inputSchema: jsonSchema(parameters) }];
}

/** What both ways of the AI SDK give; its reasons have a dash. */
function given(text, { reasoningText, toolCalls, finishReason, usage }) {
  return {
    ...(text && { texts: [text] }),
    ...(reasoningText && { reasoning: [reasoningText] }),
    ...(toolCalls.length > 0 && { calls: toolCalls.map(({ toolName, input }) => [toolName, input]) }),
    reasons: [finishReason.replace("-", "_")],
    completion_tokens: usage.outputTokens,
  };
}

/** The AI SDK has its own names, and one choice without probabilities; some it refuses itself. */
function settings({ messages, max_tokens, max_completion_tokens, stop, seed, temperature, n, ...rest }) {
  if (n !== undefined || rest.logprobs || rest.logit_bias) return undefined;
  const isOurs = ({ role, content }) => role !== "developer" && typeof content === "string";
  if (messages.length === 0 || !messages.every(isOurs) || rest.response_format) return undefined;
  return {
    model: provider(rest.model),
    messages,
    maxRetries: 0,
    maxOutputTokens: max_completion_tokens ?? max_tokens,
    ...(stop !== undefined && { stopSequences: [stop].flat() }),
    ...(seed !== undefined && { seed }),
    ...(temperature !== undefined && { temperature }),
    ...(rest.reasoning_effort && { providerOptions: { modelpress: { reasoningEffort: rest.reasoning_effort } } }),
    ...(rest.tools && { tools: Object.fromEntries(rest.tools.map(toolOf)) }),
    ...(rest.tool_choice && { toolChoice: rest.tool_choice }),
  };
}

const aiSdk = {
  chat: async (request) => {
    const asked = settings(request);
    if (!asked) return undefined;
    const result = await generateText(asked);
    return given(result.text, result);
  },
  chat_stream: async (request) => {
    const asked = settings(request);
    if (!asked) return undefined;
    let failure;
    const result = streamText({ ...asked, onError: ({ error }) => (failure = error) });
    let text = "";
    for await (const part of result.textStream) text += part;
    if (failure) throw failure;
    const names = ["reasoningText", "toolCalls", "finishReason", "usage"];
    const values = await Promise.all(names.map((name) => result[name]));
    return given(text, Object.fromEntries(names.map((name, i) => [name, values[i]])));
  },
};

function failure(error) {
  const body = error.responseBody ? JSON.parse(error.responseBody).error : error;
  const status = error.status ?? error.statusCode;
  if (status === undefined) return { failure: String(error) };
  return { error: { status, code: body.code, param: body.param } };
}

async function run(calls) {
  const results = {};
  for (const { name, call, request } of table) {
    try {
      const result = await calls[call]?.({ model, ...request });
      if (result !== undefined) results[name] = result;
    } catch (error) {
      results[name] = failure(error);
    }
  }
  return results;
}

console.log(JSON.stringify({ openai: await run(openai), "ai-sdk": await run(aiSdk) }));
