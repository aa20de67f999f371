// Reads an OpenAPI document from a file, and writes what the recommended rules of Redocly and of Spectral find in it.
import { createConfig, lintFromString } from "@redocly/openapi-core";
import core from "@stoplight/spectral-core";
import parsers from "@stoplight/spectral-parsers";
import rulesets from "@stoplight/spectral-rulesets";
import { readFileSync } from "node:fs";

const source = readFileSync(process.argv[2], "utf8");
const config = await createConfig({ extends: ["recommended"] });
const ofRedocly = await lintFromString({ source, absoluteRef: "openapi.json", config });
for (const found of ofRedocly) {
  console.log(`redocly ${found.severity} ${found.ruleId} ${found.location?.[0]?.pointer ?? ""}: ${found.message}`);
}
const spectral = new core.Spectral();
spectral.setRuleset({ extends: [[rulesets.oas, "recommended"]] });
const ofSpectral = await spectral.run(new core.Document(source, parsers.Json, "openapi.json"));
for (const found of ofSpectral) {
  console.log(`spectral ${found.severity} ${found.code} ${found.path.join("/")}: ${found.message}`);
}
