"""Images as pages show them: those that this installation stores with their size, and in the size that a browser needs."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from newswire.article import Image
from newswire.media import ArticleImage, variant_address
from newswire_search.site.body import OwnImage, OwnImages, folder_of, secure_address

LEAD_SIZES: Final = "(min-width: 52rem) 52rem, 100vw"
BODY_SIZES: Final = "(min-width: 42rem) 42rem, 100vw"
CARD_SIZES: Final = "(min-width: 40rem) 24rem, 100vw"


class PageImage(Image):
    """A lead image. ``absolute`` is its address for other sites; ``srcset`` is empty unless there are several sizes."""

    absolute: str
    srcset: str = ""


def own_images(article: Mapping[str, Any]) -> OwnImages:
    """Return the images of an article that this installation stores, by the folders of their addresses."""
    found = [ArticleImage.model_validate(image) for image in article.get("media") or ()]
    return {folder_of(image.url): _own(image) for image in found}


def page_image(article: Mapping[str, Any]) -> PageImage | None:
    """Return the lead image of an article: from this site, or by https; None without one."""
    image = article.get("image")
    if not image:
        return None
    own = own_images(article).get(folder_of(image["url"])) if article.get("media") else None
    if own is None:
        address = secure_address(image["url"])
        return PageImage.model_validate({**image, "url": address, "absolute": address})
    size = {"width": own.width, "height": own.height}
    return PageImage.model_validate({**image, **size, "url": own.path, "absolute": own.url, "srcset": own.srcset})


def _own(image: ArticleImage) -> OwnImage:
    path = urlsplit(image.url).path
    sizes = [f"{variant_address(path, width)} {width}w" for width in image.widths]
    srcset = ", ".join([*sizes, f"{path} {image.width}w"]) if sizes else ""
    return OwnImage(image.url, path, image.width, image.height, srcset)
