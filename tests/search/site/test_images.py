"""Images that the installation stores: pages show them from their own site, in several sizes, with width and height."""

from newswire_search.site.body import page_body
from newswire_search.site.images import BODY_SIZES, own_images, page_image

FOLDER = f"/media/{'a' * 64}"
STORED = {"url": f"http://127.0.0.1:8000{FOLDER}/original.jpg", "width": 1000, "height": 500, "widths": [320, 640]}
SRCSET = f"{FOLDER}/320.webp 320w, {FOLDER}/640.webp 640w, {FOLDER}/original.jpg 1000w"


def test_the_lead_image_has_several_sizes_and_its_own() -> None:
    found = page_image({"image": {"url": STORED["url"], "alt": "A", "width": 5, "height": 5}, "media": [STORED]})
    assert found is not None
    assert (found.url, found.width, found.height, found.alt) == (f"{FOLDER}/original.jpg", 1000, 500, "A")
    assert (found.srcset, found.absolute) == (SRCSET, STORED["url"])


def test_images_of_other_sites_stay_as_they_are() -> None:
    other = page_image({"image": {"url": "http://x.example/media/a.jpg", "width": 5}, "media": [STORED]})
    assert other is not None
    assert (other.url, other.absolute, other.srcset, other.width) == (
        "https://x.example/media/a.jpg",
        "https://x.example/media/a.jpg",
        "",
        5,
    )
    assert page_image({"media": [STORED]}) is None
    assert page_image({"image": {"url": "https://x.example/a.jpg"}}) is not None, (
        "articles of earlier releases have no media"
    )


def test_images_of_the_body_have_several_sizes() -> None:
    body = f'<p>a</p><img alt="A" src="http://127.0.0.1:8000{FOLDER}/640.webp" width="7" height="7"><img src="http://x.example/b.jpg">'
    assert page_body(body, "t", "c", own_images({"media": [STORED]}), BODY_SIZES) == (
        f'<p>a</p><img alt="A" src="{FOLDER}/original.jpg" srcset="{SRCSET}" sizes="{BODY_SIZES}" width="1000" height="500"'
        ' loading="lazy" decoding="async"><img src="https://x.example/b.jpg" alt="" loading="lazy" decoding="async">'
    )


def test_a_small_or_animated_image_has_only_its_size() -> None:
    small = STORED | {"widths": []}
    body = f'<img src="{STORED["url"]}" alt="A">'
    assert page_body(body, "t", "c", own_images({"media": [small]}), BODY_SIZES) == (
        f'<img alt="A" src="{FOLDER}/original.jpg" width="1000" height="500" loading="lazy" decoding="async">'
    )
