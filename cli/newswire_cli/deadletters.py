"""`newswire deadletters`: what a service gave up on, to be looked at, tried again or dropped."""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from newswire_cli.console import fail, say
from newswire_cli.store import DataDir, Store, with_store

if TYPE_CHECKING:
    from newswire_cli import letters

app = typer.Typer(help="List, retry and drop what could not be handled or delivered.", no_args_is_help=True)


class GroupName(StrEnum):
    """The consumer groups, and the deliveries to subscribers."""

    SEARCH = "search"
    NOTIFY = "notify"
    OUTCOMES = "outcomes"
    DELIVERIES = "deliveries"


Group = Annotated[GroupName | None, typer.Option(help="Only those of this group.")]
Letter = Annotated[str | None, typer.Argument(metavar="ID", help="A dead letter, as `list` shows it.")]
All = Annotated[bool, typer.Option("--all", help="All dead letters (of the group).")]


@app.command("list")
def list_(group: Group = None, data_dir: DataDir = None) -> None:
    """List the dead letters, oldest first."""
    from newswire_cli import letters

    async def work(store: Store) -> list[list[str]]:
        return [
            [letter.id, letter.group, f"{letter.since:%Y-%m-%d %H:%M:%S}", letter.article or "", letter.error]
            for letter in await letters.dead_letters(store, group)
        ]

    from newswire_cli.tables import show

    show(["id", "group", "since", "article", "error"], with_store(data_dir, work))


@app.command()
def retry(
    letter: Letter = None,
    every: All = False,
    group: Group = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Send this file's CloudEvent (JSON) in its place.", dir_okay=False),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Try dead letters again."""
    from newswire_cli import letters

    mended = None
    if data is not None:
        if every:
            fail("--data mends one dead letter: give its ID, not --all")
        try:
            mended = data.read_bytes()
        except OSError as error:
            fail(f"cannot read {data}: {error.strerror}")

    async def again(store: Store, found: "letters.Letter") -> str:
        return await letters.retry(store, found, mended)

    _each(letter, every, group, data_dir, again)


@app.command()
def drop(letter: Letter = None, every: All = False, group: Group = None, data_dir: DataDir = None) -> None:
    """Drop dead letters for good."""
    from newswire_cli import letters

    _each(letter, every, group, data_dir, letters.drop)


def _each(
    letter: str | None,
    every: bool,
    group: GroupName | None,
    data_dir: Path | None,
    act: "Callable[[Store, letters.Letter], Awaitable[str]]",
) -> None:
    from newswire_cli import letters

    if (letter is None) is not every:
        fail("give either the ID of one dead letter or --all")

    async def work(store: Store) -> list[str]:
        problems = []
        chosen = [found for found in await letters.dead_letters(store, group) if every or found.id == letter]
        if letter is not None and len(chosen) != 1:
            raise ValueError(
                f"{letter} stands in several groups; choose one by --group"
                if chosen
                else f"there is no dead letter {letter}"
            )
        for found in chosen:
            try:
                say(await act(store, found))
            except letters.Refused as refused:
                problems.append(f"{found.id}: {refused}")
        if every:
            say(f"{len(chosen) - len(problems)} of {len(chosen)} done")
        return problems

    if problems := with_store(data_dir, work):
        fail("; ".join(problems))
