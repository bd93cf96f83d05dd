/** OpenAI's chat completions as this engine speaks them, field for field. */

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant" | "developer" | "tool";
  readonly content: string | readonly { readonly type: "text"; readonly text: string }[];
  readonly name?: string;
}

export interface ChatCompletionRequest {
  readonly messages: readonly ChatMessage[];
  readonly model?: string;
  readonly max_tokens?: number | null;
  readonly max_completion_tokens?: number | null;
  readonly temperature?: number | null;
  readonly top_p?: number | null;
  readonly top_k?: number | null;
  readonly min_p?: number | null;
  readonly frequency_penalty?: number | null;
  readonly presence_penalty?: number | null;
  readonly repetition_penalty?: number | null;
  readonly seed?: number | null;
  readonly stop?: string | readonly string[] | null;
  readonly stream?: boolean | null;
  readonly stream_options?: { readonly include_usage?: boolean } | null;
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
  /** Measurements of this engine, where OpenAI's clients do not look. */
  readonly extra?: { readonly [name: string]: unknown };
}

export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter";

export interface ChatCompletion {
  readonly id: string;
  readonly object: "chat.completion";
  readonly created: number;
  readonly model: string;
  readonly choices: readonly {
    readonly index: number;
    readonly message: { readonly role: "assistant"; readonly content: string | null };
    readonly finish_reason: FinishReason;
    readonly logprobs: null;
  }[];
  readonly usage: Usage;
}

export interface ChatCompletionChunk {
  readonly id: string;
  readonly object: "chat.completion.chunk";
  readonly created: number;
  readonly model: string;
  readonly choices: readonly {
    readonly index: number;
    readonly delta: {
      readonly role?: "assistant";
      readonly content?: string | null;
      readonly reasoning_content?: string;
    };
    readonly finish_reason: FinishReason | null;
    readonly logprobs: null;
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
