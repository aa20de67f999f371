"""What spans cost: the processor time of each service for an article and for a search, with and without recording.

Installations that record no request, one in a hundred, one in ten, and all of them, run side by side and take turns. The floor is
the one that records nothing and knows of no receiver.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from bench.articles import Article, repeated
from bench.figures import Figure, Goal, compared
from bench.paths.cost import SERVICES, Installation, installation, subscribe, words_of
from bench.servers import program
from bench.setting import Setting

ARTICLES = 300
SEARCHES = 100
ROUNDS = 3
"""Rounds for each of the setting: a difference of a few percent is to be seen."""
MAX_SHARE = 1.05
RATIOS = {"one in 100": "0.01", "one in 10": "0.1", "all": "1"}

Costs = Mapping[str, float]


async def measure(setting: Setting) -> list[Figure]:
    """Return the processor time of each service, compared with that of the one that records nothing."""
    articles = setting.some(ARTICLES)
    rounds = setting.rounds * ROUNDS
    made = list(repeated(setting.articles, articles * (rounds + 1), "spans"))
    words = words_of(made[:articles])
    spent: dict[str, list[Costs]] = {}
    async with AsyncExitStack() as stack:
        receiver = stack.enter_context(program("receiver", setting.folder / "spans.log")).site
        running = {
            name: await stack.enter_async_context(_installed(setting, f"spans-{number}", receiver, ratio))
            for number, (name, ratio) in enumerate({"none": "", **RATIOS}.items())
        }
        for number in setting.steps("spans", range(rounds + 1)):
            part = made[number * articles : (number + 1) * articles]
            turn = list(running.items())
            for name, on in turn if number % 2 else reversed(turn):
                costs = await _spent(on, part, words)
                if number:  # the first round warms up
                    spent.setdefault(name, []).append(costs)
    return [_figure(what, name, spent) for what in spent["none"][0] for name in RATIOS]


@asynccontextmanager
async def _installed(setting: Setting, name: str, receiver: str, ratio: str) -> AsyncIterator[Installation]:
    recording = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": ratio,
    }
    async with installation(setting, name, further=recording if ratio else {}) as on:
        await subscribe(on)
        yield on


async def _spent(on: Installation, articles: Sequence[Article], words: Sequence[str]) -> Costs:
    before = await on.processor_seconds()
    await on.publish(articles)
    published = await on.processor_seconds()
    await on.search(words[:SEARCHES])
    searched = await on.processor_seconds()
    costs = {f"an article in {name}": (published[name] - before[name]) / len(articles) for name in SERVICES}
    return costs | {"a search in search": (searched["search"] - published["search"]) / SEARCHES}


def _figure(what: str, name: str, spent: Mapping[str, Sequence[Costs]]) -> Figure:
    pairs = [(ours[what] * 1e6, none[what] * 1e6) for ours, none in zip(spent[name], spent["none"], strict=True)]
    goal = None if name == "all" else Goal("at most", MAX_SHARE)
    return compared(f"{what}, {name} recorded (floor: none)", "µs of processor time", pairs, goal)
