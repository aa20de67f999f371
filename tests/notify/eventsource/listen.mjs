// Reads the live stream at an address as a browser would, and prints what it gets: id and event, a line each.
import { EventSource } from "eventsource";

const source = new EventSource(process.argv[2]);
const types = ["article.published.v1", "article.retracted.v1", "stream.trimmed", "stream.ended"];
source.onopen = () => console.log("open");
for (const type of types) {
  source.addEventListener(`newswire.${type}`, (event) => {
    const said = JSON.parse(event.data);
    console.log(type, said.id ?? said.reason ?? said.first, event.lastEventId);
  });
}
source.onmessage = (event) => console.log("unnamed", event.data);
