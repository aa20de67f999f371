"""`newswire dead-letters`: list, retry and drop events that a service gave up on, and deliveries that failed for good."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from newswire_cli.client.redis import DataDir, with_stores
from newswire_cli.terminal.console import fail, say
from newswire_cli.terminal.json_output import Json
from newswire_cli.terminal.tables import Record, member, print_records, second
from newswire_operations.stores import Stores

if TYPE_CHECKING:
    from newswire_operations.dead_letters import DeadLetter

app = typer.Typer(help="List, retry and drop events and deliveries that failed for good.", no_args_is_help=True)


class GroupName(StrEnum):
    """The consumer groups, and the deliveries to subscribers."""

    SEARCH = "search"
    NOTIFY = "notify"
    OUTCOMES = "outcomes"
    WEBSUB = "websub"
    DELIVERIES = "deliveries"


Group = Annotated[GroupName | None, typer.Option(help="Only those of this group.")]
Id = Annotated[str | None, typer.Argument(metavar="ID", help="The id of a dead letter, as `list` prints it.")]
All = Annotated[bool, typer.Option("--all", help="All dead letters (of the group).")]


@app.command("list")
def list_(group: Group = None, json: Json = False, data_dir: DataDir = None) -> None:
    """List the dead letters, oldest first."""

    async def work(stores: Stores) -> list[Record]:
        from newswire_operations.dead_letters import list_dead_letters

        return [asdict(letter) for letter in await list_dead_letters(stores, group)]

    columns = {
        "id": member("id"),
        "group": member("group"),
        "since": second("since"),
        "article": member("article"),
        "error": member("error"),
    }
    print_records(with_stores(data_dir, work), columns, as_json=json)


@app.command()
def retry(
    letter: Id = None,
    every: All = False,
    group: Group = None,
    data: Annotated[
        Path | None,
        typer.Option(help="A file with a CloudEvent (JSON) that replaces the event.", dir_okay=False),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Retry dead letters."""
    replacement = None
    if data is not None:
        if every:
            fail("--data replaces the event of one dead letter: give its ID, not --all", code=2)
        try:
            replacement = data.read_bytes()
        except OSError as error:
            fail(f"cannot read {data}: {error.strerror}")

    async def retry_one(stores: Stores, found: "DeadLetter") -> str:
        from newswire_operations.dead_letters import retry_dead_letter

        return await retry_dead_letter(stores, found, replacement)

    _for_each(letter, every, group, data_dir, retry_one)


@app.command()
def drop(letter: Id = None, every: All = False, group: Group = None, data_dir: DataDir = None) -> None:
    """Delete dead letters for good."""

    async def drop_one(stores: Stores, found: "DeadLetter") -> str:
        from newswire_operations.dead_letters import drop_dead_letter

        return await drop_dead_letter(stores, found)

    _for_each(letter, every, group, data_dir, drop_one)


def _for_each(
    letter: str | None,
    every: bool,
    group: GroupName | None,
    data_dir: Path | None,
    act: "Callable[[Stores, DeadLetter], Awaitable[str]]",
) -> None:
    if (letter is None) is not every:
        fail("give either the ID of one dead letter or --all", code=2)

    async def work(stores: Stores) -> list[str]:
        from newswire_operations.dead_letters import DeadLetterRefusedError, list_dead_letters

        problems = []
        chosen = [found for found in await list_dead_letters(stores, group) if every or found.id == letter]
        if letter is not None and len(chosen) != 1:
            raise ValueError(
                f"{letter} exists in several groups; choose one by --group"
                if chosen
                else f"there is no dead letter {letter}"
            )
        for found in chosen:
            try:
                say(await act(stores, found))
            except DeadLetterRefusedError as error:
                problems.append(f"{found.id}: {error}")
        if every:
            say(f"{len(chosen) - len(problems)} of {len(chosen)} done")
        return problems

    if problems := with_stores(data_dir, work, writes=True):
        fail("; ".join(problems))
