// Reads an OpenAPI document from a file, and writes the types that openapi-typescript generates for it.
import openapiTS, { astToString } from "openapi-typescript";
import { readFileSync } from "node:fs";

console.log(astToString(await openapiTS(JSON.parse(readFileSync(process.argv[2], "utf8")))));
