// A program that uses the generated types as a user would. It is called with the URL of a
// server and a license key, and prints what it was answered.
import createClient from "openapi-fetch";
import type { components, paths } from "./copyhold.js";

declare const process: { argv: string[] };
const [, , url = "", key = ""] = process.argv;
const copyhold = createClient<paths>({ baseUrl: url, headers: { Authorization: `License ${key}` } });

const validated = await copyhold.POST("/v1/validate", { body: { product: "lathe" } });
if (validated.error) throw new Error(validated.error.detail);

const acquired = await copyhold.POST("/v1/leases", {
  body: { pool: "seats", request_id: "typescript-1", holder: { kind: "user", id: "ada" } },
});
if (acquired.error) throw new Error(acquired.error.detail);

const recorded = await copyhold.POST("/v1/usage", {
  body: { events: [{ id: "typescript-1", meter: "calls", quantity: "1.25" }, { id: "typescript-2", meter: "calls", quantity: 2 }] },
});
if (recorded.error) throw new Error(recorded.error.detail);

const refused = await copyhold.POST("/v1/leases", {
  body: { pool: "nonsense", request_id: "typescript-2", holder: { kind: "user", id: "ada" } },
});
if (!refused.error) throw new Error("a pool that does not exist was granted");
const problem: components["schemas"]["Problem"] = refused.error;

console.log(JSON.stringify({
  outcome: validated.data.decision.outcome,
  lease: acquired.response.status,
  usage: recorded.data.results.map((r) => r.status),
  problem: problem.code,
}));

// What can't be right is an error of the compiler.
export const mistakes = () => [
  // @ts-expect-error: a product is required
  copyhold.POST("/v1/validate", { body: {} }),
  // @ts-expect-error: there is no such operation
  copyhold.PUT("/v1/validate", { body: { product: "lathe" } }),
  // @ts-expect-error: a quantity is a decimal or a whole number
  copyhold.POST("/v1/usage", { body: { events: [{ id: "a", meter: "calls", quantity: true }] } }),
];
