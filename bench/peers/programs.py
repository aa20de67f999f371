"""The programs of peers: found or built, run, and their processor time."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

PATIENCE = 60.0
_BUILD_SECONDS = 1800
_STOP_SECONDS = 10


class UnavailableError(Exception):
    """A peer cannot be measured on this machine; the message names the reason."""


def found(program: str, folder: Path) -> str:
    """Return the path of a program in a folder or in PATH.

    Raises:
        UnavailableError: there is none.
    """
    path = shutil.which(program, path=f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if path is None:
        raise UnavailableError(f"{program} is neither in {folder} nor in PATH: install it")
    return path


def built(program: str, package: str, folder: Path) -> str:
    """Return the path of a Go program, from a folder or PATH, or built into the folder by ``go install``.

    Raises:
        UnavailableError: Go is missing or cannot build it.
    """
    with suppress(UnavailableError):
        return found(program, folder)
    go = shutil.which("go")
    if go is None:
        raise UnavailableError(f"{program} is not installed, and Go, which would build it, is not in PATH")
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"GOBIN": str(folder.absolute())}
    try:
        done = subprocess.run(
            [go, "install", package], env=environment, capture_output=True, text=True, timeout=_BUILD_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"go install {package} took more than {_BUILD_SECONDS} s") from None
    if done.returncode:
        reason = done.stderr.strip().splitlines() or ["no reason given"]
        raise UnavailableError(f"go install {package}: {reason[-1].strip()}")
    return found(program, folder)


def version_of(program: str, *arguments: str) -> str:
    """Return the version of a Go program: that of its module if Go tells it, or the first line that it prints."""
    if go := shutil.which("go"):
        said = subprocess.run([go, "version", "-m", program], capture_output=True, text=True, timeout=PATIENCE).stdout
        if module := re.search(r"\tmod\t\S+\t(v\S+)", said):
            return module[1]
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=PATIENCE)
    return (done.stdout + done.stderr).strip().partition("\n")[0]


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Iterator[psutil.Process]:
    """Run a program until the end of the context; begin when it is ready. ``user``: the account that runs it, if not our own.

    Raises:
        UnavailableError: it ended, or is not ready after a minute.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            cwd=log.parent if user is None else None,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise UnavailableError(f"{command[0]} did not start: {log.read_text(errors='replace')[-500:]}")
            time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """Return the processor time of processes and of all that they started, in seconds."""
    spent = 0.0
    for root in processes:
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent += times.user + times.system + times.children_user + times.children_system
    return spent
