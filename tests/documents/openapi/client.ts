// What a client of the API writes against the generated types: publish, search, suggest, subscribe.
import createClient from "openapi-fetch";
import type { components, paths } from "./generated.js";

const client = createClient<paths>({ baseUrl: "https://news.example" });
const draft: components["schemas"]["ArticleDraft"] = { title: "Ferries sail again", body: "<p>At six.</p>" };

export async function use(): Promise<string> {
  const published = await client.POST("/v1/articles", { body: { ...draft, author: "Ann Lee", topics: ["Ferries"] } });
  const id: string = published.data!.id;
  const found = await client.GET("/v1/search", { params: { query: { q: "ferry", category: ["Transport"] } } });
  const titles: string[] = found.data!.articles.map((article) => article.title);
  const suggested = await client.GET("/v1/search/suggest", { params: { query: { q: "fer" } } });
  const completions = suggested.data!; // browsers get the other form, as OpenSearch defines it
  const values: string[] = "suggestions" in completions ? completions.suggestions.map((each) => each.value) : [];
  const made = await client.POST("/v1/subscriptions", {
    body: { channel: { type: "webhook", url: "https://receiver.example/" }, filter: { categories: ["Transport"] } },
  });
  const secret: string = made.data!.secret;
  return [id, ...titles, ...values, secret].join();
}
