"""Where search does what takes the processor long: passages of long texts, feeds and sitemaps, words close to a mistyped one."""

from typing import Final

from newswire.concurrency.offload import Offload

offload: Final = Offload("search")
