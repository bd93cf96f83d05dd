/** The site's HTTP endpoint: every page of it stands in line to answer requests to `v1/`. */

import type { Answers, EndpointOptions } from "../../runtime/web/client.ts";
import { siteRoot } from "./dom.ts";
import { startEngine } from "./engine.ts";

type Client = { readonly serveEndpoint: (options: EndpointOptions) => Promise<unknown> };

/** Answers with `engine`, or with one that is started at the first request. */
export async function answerRequests(
  engine: () => Promise<Answers> = () => startEngine({}),
): Promise<void> {
  const client = (await import(new URL("engine/client.js", siteRoot()).href)) as Client;
  await client.serveEndpoint({ engine });
}
