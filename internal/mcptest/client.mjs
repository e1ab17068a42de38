// A client by the TypeScript SDK: client.mjs EXPLORATION COMMAND... prints, as JSON, all that it came to know of a
// server. The same server must look the same through the boundary.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import * as types from "@modelcontextprotocol/sdk/types.js";

const [exploration, command, ...args] = process.argv.slice(2);
const heard = [];
const log = [];
const client = new Client({ name: "foreign", version: "1" }, { capabilities: { sampling: {}, elicitation: {}, roots: { listChanged: true } } });
client.fallbackNotificationHandler = async (n) => heard.push(n.method);
client.setRequestHandler(types.CreateMessageRequestSchema, async (r) => {
  log.push({ sampling: r.params });
  return { role: "assistant", model: "scripted", content: { type: "text", text: "sampled <é>" } };
});
client.setRequestHandler(types.ElicitRequestSchema, async (r) => {
  log.push({ elicitation: r.params });
  return { action: "accept", content: { name: "Ada", check: true } };
});
client.setRequestHandler(types.ListRootsRequestSchema, async () => ({ roots: [{ uri: "file:///tmp/root", name: "root" }] }));
const transport = new StdioClientTransport({ command, args, stderr: "ignore" });
await client.connect(transport);

// did keeps what came of something, failures included.
async function did(what, f) {
  try {
    log.push({ [what]: await f() });
  } catch (e) {
    log.push({ [what]: { failed: e.code, message: e.message } });
  }
}
const call = (name, a, opts) => did(name, () => client.callTool({ name, arguments: a }, undefined, opts));

await did("server", async () => [client.getServerVersion(), client.getServerCapabilities(), client.getInstructions()]);
await did("ping", () => client.ping());
await did("tools", () => client.listTools());

const explorations = {
  async everything() {
    await did("prompts", () => client.listPrompts());
    await did("resources", () => client.listResources());
    await did("templates", () => client.listResourceTemplates());
    await did("prompt", () => client.getPrompt({ name: "args-prompt", arguments: { city: "Delft", state: "ZH" } }));
    await did("no prompt", () => client.getPrompt({ name: "none" }));
    await did("static", () => client.readResource({ uri: "demo://resource/static/document/features.md" }));
    await did("no resource", () => client.readResource({ uri: "demo://none" }));
    await did("complete", () => client.complete({ ref: { type: "ref/prompt", name: "completable-prompt" }, argument: { name: "department", value: "S" } }));
    await did("subscribe", () => client.subscribeResource({ uri: "demo://resource/static/document/features.md" }));
    await did("level", () => client.setLoggingLevel("debug"));
    await did("unknown method", () => client.request({ method: "un/known", params: { x: 1 } }, types.EmptyResultSchema));
    await call("echo", { message: "<é> \u2028 \ud83d\ude00" });
    await call("echo", {});
    await call("get-sum", { a: 0.1, b: 1e21 });
    await call("get-annotated-message", { messageType: "error", includeImage: true });
    await call("get-structured-content", { location: "New York" });
    await call("get-tiny-image", {});
    await call("get-resource-links", { count: 3 });
    await call("get-resource-reference", { resourceType: "Text", resourceId: 1 });
    await call("get-roots-list", {});
    await call("trigger-sampling-request", { prompt: "hello", maxTokens: 7 });
    await call("trigger-elicitation-request", {});
    const progress = [];
    await call("trigger-long-running-operation", { duration: 0.2, steps: 4 }, { onprogress: (p) => progress.push(p) });
    // The last may come in one piece with the result: then this client forgets it.
    log.push({ progress: progress.filter((p) => p.progress < p.total) });
    await did("cancelled", async () => {
      const c = new AbortController();
      setTimeout(() => c.abort("enough"), 200);
      await client.callTool({ name: "trigger-long-running-operation", arguments: { duration: 30, steps: 3 } }, undefined, { signal: c.signal });
    });
    await did("at once", () => Promise.all([...Array(50).keys()].map((a) => client.callTool({ name: "get-sum", arguments: { a, b: 1 } }))));
    await did("large", async () => (await client.callTool({ name: "echo", arguments: { message: "x".repeat(900_000) } })).content[0].text.length);
  },
  async filesystem() {
    await call("list_allowed_directories", {});
    await call("list_directory", { path: process.env.FOLDER });
    await call("write_file", { path: process.env.FOLDER + "/a.txt", content: "one\ntwo é\n" });
    await call("read_text_file", { path: process.env.FOLDER + "/a.txt" });
    await call("read_text_file", { path: process.env.FOLDER + "/large.txt" });
    await call("edit_file", { path: process.env.FOLDER + "/a.txt", edits: [{ oldText: "one", newText: "1" }] });
    await call("read_text_file", { path: process.env.FOLDER + "/none.txt" });
    await call("read_text_file", { path: "/etc/hostname" });
  },
  async memory() {
    await call("create_entities", { entities: [{ name: "Ada", entityType: "person", observations: ["writes programs"] }] });
    await call("create_relations", { relations: [{ from: "Ada", to: "Ada", relationType: "knows" }] });
    await call("search_nodes", { query: "Ada" });
    await call("read_graph", {});
    await call("delete_entities", { entityNames: ["Ada"] });
  },
  async one() {
    for (const [name, a] of JSON.parse(process.env.CALLS)) await call(name, a);
  },
};
await explorations[exploration]();
log.push({ heard: [...new Set(heard)].sort() });
process.stdout.write(JSON.stringify(log, null, 1) + "\n");
await client.close();
