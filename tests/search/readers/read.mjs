// Reads a feed from standard input and writes what a reader finds in it as JSON.
import Parser from "rss-parser";
import { text } from "node:stream/consumers";

const feed = await new Parser().parseString(await text(process.stdin));
const items = feed.items.map(({ title, content, contentSnippet, summary, categories, author, creator }) => ({
  title,
  content,
  contentSnippet,
  summary,
  categories,
  author: author ?? creator,
}));
console.log(JSON.stringify({ title: feed.title, description: feed.description, items }));
