// Reads an AsyncAPI document from standard input and exits with 1 if the official parser finds an error in it.
import { Parser } from "@asyncapi/parser";
import { readFileSync } from "node:fs";

const ERROR = 0;
const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
const errors = diagnostics.filter((found) => found.severity === ERROR);
for (const found of errors) console.error(`${found.path.join(".")}: ${found.message}`);
console.log(document ? `AsyncAPI ${document.version()}` : "no document");
process.exit(errors.length || !document ? 1 : 0);
