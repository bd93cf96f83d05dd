/** OpenAI's requests and responses as this engine speaks them, field for field. */

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant" | "developer" | "tool";
  /** Null, or left out, only beside `tool_calls`. */
  readonly content?: string | readonly { readonly type: "text"; readonly text: string }[] | null;
  readonly name?: string;
  /** The calls that an assistant made. */
  readonly tool_calls?: readonly ToolCall[] | null;
  /** The call that a tool's message answers. */
  readonly tool_call_id?: string;
  /** What an assistant thought before its content. */
  readonly reasoning_content?: string | null;
}

export interface ToolCall {
  readonly id: string;
  readonly type: "function";
  /** `arguments` is the text of a JSON object, valid against the function's schema. */
  readonly function: { readonly name: string; readonly arguments: string };
}

export type JsonSchema = boolean | { readonly [keyword: string]: unknown };

export interface Tool {
  readonly type: "function";
  readonly function: {
    readonly name: string;
    readonly description?: string;
    readonly parameters?: JsonSchema | null;
    readonly strict?: boolean | null;
  };
}

export type ToolChoice =
  | "none"
  | "auto"
  | "required"
  | { readonly type: "function"; readonly function: { readonly name: string } };

/** What an answer must look like; the last three are extensions. */
export type ResponseFormat =
  | { readonly type: "text" }
  | { readonly type: "json_object" }
  | {
      readonly type: "json_schema";
      readonly json_schema: {
        readonly name: string;
        readonly description?: string;
        readonly schema: JsonSchema;
        readonly strict?: boolean | null;
      };
    }
  | { readonly type: "regex"; readonly regex: string }
  | { readonly type: "grammar"; readonly grammar: string }
  | { readonly type: "structural_tag"; readonly format: { readonly [field: string]: unknown } };

/** What decides how tokens are drawn and when an answer ends. */
export interface SamplingFields {
  readonly model?: string;
  readonly temperature?: number | null;
  readonly top_p?: number | null;
  readonly top_k?: number | null;
  readonly min_p?: number | null;
  readonly frequency_penalty?: number | null;
  readonly presence_penalty?: number | null;
  readonly repetition_penalty?: number | null;
  /** The same seed gives the same text on the same device. */
  readonly seed?: number | null;
  readonly stop?: string | readonly string[] | null;
  /** Token ids to what is added to their logits, -100 to 100. */
  readonly logit_bias?: { readonly [token: string]: number } | null;
  /** Answers to the same prompt. */
  readonly n?: number | null;
  readonly stream?: boolean | null;
  readonly stream_options?: { readonly include_usage?: boolean } | null;
}

export interface ChatCompletionRequest extends SamplingFields {
  readonly messages: readonly ChatMessage[];
  readonly max_tokens?: number | null;
  readonly max_completion_tokens?: number | null;
  readonly logprobs?: boolean | null;
  /** Alternatives told of each token, 0 to 20; needs `logprobs`. */
  readonly top_logprobs?: number | null;
  /** "none" turns thinking off. */
  readonly reasoning_effort?: string | null;
  readonly response_format?: ResponseFormat | null;
  readonly tools?: readonly Tool[] | null;
  readonly tool_choice?: ToolChoice | null;
  readonly parallel_tool_calls?: boolean | null;
  /** Variables of the model's chat template, such as `enable_thinking`. */
  readonly chat_template_kwargs?: { readonly [name: string]: string | number | boolean | null } | null;
  readonly [extension: string]: unknown;
}

export interface StreamingRequest extends ChatCompletionRequest {
  readonly stream: true;
}

export interface WholeRequest extends ChatCompletionRequest {
  readonly stream?: false | null;
}

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  /** How much of the prompt was still in the KV cache. */
  readonly prompt_tokens_details: { readonly cached_tokens: number };
  readonly completion_tokens_details: { readonly reasoning_tokens: number };
  /** Measurements of this engine, where OpenAI's clients do not look. */
  readonly extra?: { readonly [name: string]: unknown };
}

export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter";

/** A token and the logarithm of its probability under the model's own distribution. */
export interface TokenLogprob {
  readonly token: string;
  readonly logprob: number;
  /** The token's UTF-8, which need not be whole characters. */
  readonly bytes: readonly number[] | null;
}

export interface ChatLogprobs {
  readonly content: readonly (TokenLogprob & { readonly top_logprobs: readonly TokenLogprob[] })[];
  readonly refusal: null;
}

export interface ChatCompletion {
  readonly id: string;
  readonly object: "chat.completion";
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
  readonly choices: readonly {
    readonly index: number;
    readonly message: {
      readonly role: "assistant";
      readonly content: string | null;
      readonly reasoning_content?: string;
      readonly refusal: null;
      readonly tool_calls?: readonly ToolCall[];
    };
    readonly finish_reason: FinishReason;
    readonly logprobs: ChatLogprobs | null;
  }[];
  readonly usage: Usage;
}

export interface ChatCompletionChunk {
  readonly id: string;
  readonly object: "chat.completion.chunk";
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
  readonly choices: readonly {
    readonly index: number;
    readonly delta: {
      readonly role?: "assistant";
      readonly content?: string | null;
      readonly reasoning_content?: string;
      /** `id`, `type` and the name come with the first part of a call. */
      readonly tool_calls?: readonly {
        readonly index: number;
        readonly id?: string;
        readonly type?: "function";
        readonly function: { readonly name?: string; readonly arguments: string };
      }[];
    };
    readonly finish_reason: FinishReason | null;
    readonly logprobs: ChatLogprobs | null;
  }[];
  readonly usage?: Usage | null;
}

/** A text to be continued, or token ids, or several of either; 16 tokens unless told otherwise. */
export interface CompletionRequest extends SamplingFields {
  readonly prompt?: string | readonly string[] | readonly number[] | readonly (readonly number[])[] | null;
  /** What follows the gap that is to be filled. */
  readonly suffix?: string | null;
  readonly max_tokens?: number | null;
  /** Repeats the prompt before the answer. */
  readonly echo?: boolean | null;
  /** Alternatives told of each token, 0 to 5. */
  readonly logprobs?: number | null;
  /** Answers of which the likeliest `n` are given. */
  readonly best_of?: number | null;
  readonly user?: string | null;
}

export interface StreamingCompletionRequest extends CompletionRequest {
  readonly stream: true;
}

export interface WholeCompletionRequest extends CompletionRequest {
  readonly stream?: false | null;
}

/** An answer, or a piece of a streamed one. */
export interface Completion {
  readonly id: string;
  readonly object: "text_completion";
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
  readonly choices: readonly {
    readonly index: number;
    readonly text: string;
    readonly finish_reason: FinishReason | null;
    readonly logprobs: {
      readonly tokens: readonly string[];
      readonly token_logprobs: readonly (number | null)[];
      readonly top_logprobs: readonly ({ readonly [token: string]: number } | null)[];
      readonly text_offset: readonly number[];
    } | null;
  }[];
  readonly usage?: Usage | null;
}

/** Texts, or their token ids with the special ones. */
export interface EmbeddingRequest {
  readonly input: string | readonly string[] | readonly number[] | readonly (readonly number[])[];
  readonly model?: string;
  readonly encoding_format?: "float" | "base64" | null;
  /** How many of the vector's numbers to keep. */
  readonly dimensions?: number | null;
  readonly user?: string | null;
  /** Which of the model's prompts is written before each text, such as "query". */
  readonly prompt_name?: string | null;
  /** Cuts a text that is too long, which is an error otherwise. */
  readonly truncate?: boolean | null;
}

export interface EmbeddingList {
  readonly object: "list";
  readonly data: readonly {
    readonly object: "embedding";
    readonly index: number;
    /** The base64 of 32-bit floats, little end first, where that was asked for. */
    readonly embedding: readonly number[] | string;
  }[];
  readonly model: string;
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number };
}

export interface ModelList {
  readonly object: "list";
  readonly data: readonly ModelSummary[];
}

/** OpenAI's model object; the registry's facts ride along. */
export interface ModelSummary {
  readonly id: string;
  readonly object: "model";
  readonly created: number;
  readonly owned_by: string;
  readonly [fact: string]: unknown;
}
