"""The worker threads for CPU-bound work of search: highlights of long texts, feeds, sitemaps, spelling corrections."""

from typing import Final

from newswire.concurrency.offload import Offload

offload: Final = Offload("search")
