"""The head of a page: what search engines and social networks read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from newswire.schema_org import filled, news_article
from newswire.site.settings import SiteSettings
from newswire_search.site.images import page_image
from newswire_search.site.language_versions import Alternate, alternates, versions_of
from newswire_search.site.links import label_path
from newswire_search.site.localisation import Localisation, social_locale_of
from newswire_search.site.presentation import Teaser, shortened

DESCRIPTION_CHARACTERS = 200
INDEXED = "max-image-preview:large"
NOT_INDEXED = "noindex"

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class PageHead:
    """What the ``head`` element says about a page."""

    title: str
    full_title: str
    """With the name of the site."""
    description: str = ""
    canonical: str | None = None
    robots: str = INDEXED
    alternates: Sequence[Alternate] = ()
    """This page and its versions in other languages, for search engines."""
    versions: Sequence[Alternate] = ()
    """The versions in other languages, for readers."""
    properties: Pairs = ()
    """OpenGraph (ogp.me)."""
    cards: Pairs = ()
    """X (Twitter) cards."""
    linked_data: Sequence[Mapping[str, Any]] = field(default_factory=list)
    """JSON-LD documents in the vocabulary of schema.org."""


class Heads:
    """Makes the heads of the pages of a site."""

    def __init__(self, settings: SiteSettings, localisation: Localisation, logo: str | None, image: str | None) -> None:
        self._settings = settings
        self._localisation = localisation
        self._logo = self.absolute(logo)
        self._image = self.absolute(image)

    def absolute(self, path: str | None) -> str | None:
        """Return a path of this site as an absolute address."""
        return self._settings.site + path if path and path.startswith("/") else path

    def plain(self, title: str, *, robots: str = NOT_INDEXED) -> PageHead:
        """Return the head of a page that is not shared, such as search results and errors."""
        return PageHead(title, self._full(title), robots=robots)

    def front(self, articles: Sequence[Teaser]) -> PageHead:
        """Return the head of the front page."""
        site = self._settings
        name = f"{site.site_name} · {site.site_tagline}" if site.site_tagline else site.site_name
        website = filled(
            {
                "@context": "https://schema.org",
                "@type": "WebSite",
                "@id": f"{site.site}/#website",
                "url": f"{site.site}/",
                "name": site.site_name,
                "description": site.site_tagline,
                "inLanguage": self._localisation.tag,
                "publisher": self._organisation(),
                "potentialAction": {
                    "@type": "SearchAction",
                    "target": {"@type": "EntryPoint", "urlTemplate": f"{site.site}/search?q={{search_term_string}}"},
                    "query-input": "required name=search_term_string",
                },
            }
        )
        return self._listing("/", name, name, site.site_tagline or _headlines(articles), articles, [website])

    def listing(self, path: str, kind: str, name: str, articles: Sequence[Teaser], *, first: bool = True) -> PageHead:
        """Return the head of the page of a section, topic or author; later pages are not indexed."""
        full_title = self._full(name)
        breadcrumbs = self._breadcrumbs([(name, self._settings.site + path)])
        description = f"{kind}: {name} · {self._settings.site_name}"
        return self._listing(path, name, full_title, description, articles, [breadcrumbs], first=first)

    def live(self, title: str, articles: Sequence[Teaser]) -> PageHead:
        """Return the head of the page of the newest headlines."""
        return self._listing("/live", title, self._full(title), _headlines(articles), articles, [])

    def page(self, path: str, title: str, description: str = "") -> PageHead:
        """Return the head of a page that is neither an article nor a list of articles."""
        canonical = self._settings.site + path
        full_title = self._full(title)
        described = _beginning(description) or full_title
        return PageHead(
            title,
            full_title,
            described,
            canonical,
            properties=self._shared("website", title, described, canonical, None),
            cards=self._cards(None),
        )

    def article(self, article: Mapping[str, Any], shown: Teaser) -> PageHead:
        """Return the head of an article."""
        description = _beginning(article.get("summary") or article.get("text", ""))
        image = page_image(article)
        times = [("article:published_time", shown.published.isoformat())]
        if shown.updated:
            times.append(("article:modified_time", shown.updated.isoformat()))
        labels = [("article:section", shown.category)] if shown.category else []
        labels += [("article:tag", topic) for topic in shown.topics]
        labels += [("article:author", author.url) for author in shown.authors if author.url]
        trail = (
            [(shown.category, self._settings.site + label_path("category", shown.category))] if shown.category else []
        )
        picture: Pairs = ()
        if image is not None:
            picture = [
                ("og:image", image.absolute),
                *([("og:image:alt", image.alt)] if image.alt else []),
                *([("og:image:width", str(image.width))] if image.width else []),
                *([("og:image:height", str(image.height))] if image.height else []),
            ]
        locale = social_locale_of(article)
        versions = versions_of(article, self._localisation)
        return PageHead(
            shown.title,
            self._full(shown.title),
            description,
            shown.canonical,
            alternates=alternates(article, shown, versions, self._localisation),
            versions=versions,
            properties=[
                *self._shared("article", shown.title, description, shown.canonical, picture, locale),
                *times,
                *labels,
            ],
            cards=self._cards(image.absolute if image else None),
            linked_data=[
                self._news_article(article, shown),
                self._breadcrumbs([*trail, (shown.title, shown.canonical)]),
            ],
        )

    def _listing(
        self,
        path: str,
        title: str,
        full_title: str,
        description: str,
        articles: Sequence[Teaser],
        linked_data: Sequence[Mapping[str, Any]],
        *,
        first: bool = True,
    ) -> PageHead:
        canonical = self._settings.site + path
        collection = filled(
            {
                "@context": "https://schema.org",
                "@type": "CollectionPage",
                "@id": canonical,
                "url": canonical,
                "name": title,
                "description": description,
                "inLanguage": self._localisation.tag,
                "isPartOf": {"@id": f"{self._settings.site}/#website"},
                "mainEntity": articles
                and {
                    "@type": "ItemList",
                    "itemListElement": [
                        {
                            "@type": "ListItem",
                            "position": at,
                            "url": self._settings.site + article.path,
                            "name": article.title,
                        }
                        for at, article in enumerate(articles, 1)
                    ],
                },
            }
        )
        return PageHead(
            title,
            full_title,
            description,
            canonical if first else None,
            robots=INDEXED if first else NOT_INDEXED,
            properties=self._shared("website", title, description, canonical, None),
            cards=self._cards(None),
            linked_data=[collection, *linked_data] if first else [],
        )

    def _shared(
        self,
        kind: str,
        title: str,
        description: str,
        address: str,
        picture: Pairs | None,
        locale: str | None = None,
    ) -> list[tuple[str, str]]:
        if not picture:
            picture = [("og:image", self._image)] if self._image else []
        return [
            ("og:type", kind),
            ("og:site_name", self._settings.site_name),
            ("og:title", title),
            ("og:url", address),
            ("og:locale", locale or self._localisation.social_locale),
            *([("og:description", description)] if description else []),
            *picture,
        ]

    def _cards(self, image: str | None) -> list[tuple[str, str]]:
        cards = [("twitter:card", "summary_large_image" if image or self._image else "summary")]
        return [*cards, ("twitter:site", self._settings.site_twitter)] if self._settings.site_twitter else cards

    def _news_article(self, article: Mapping[str, Any], shown: Teaser) -> dict[str, Any]:
        """Return what search engines ask of articles: each author with the address of a page, times with their zone."""
        document = news_article({**article, "status": "published"})
        if "image" in document:
            document["image"] = {**document["image"], "url": page_image(article).absolute}  # type: ignore[union-attr]
        if shown.authors:
            document["author"] = [
                {"@type": "Person", "name": author.name, "url": author.url or self._author_page(author.name)}
                for author in shown.authors
            ]
        # Imported articles were stored after they were published, backdated ones before.
        document["dateModified"] = (shown.updated or shown.published).isoformat()
        document.setdefault("mainEntityOfPage", article["url"])
        if self._settings.publication:
            document["publisher"] = self._organisation()
        return document | {"isAccessibleForFree": self._settings.public_read}

    def _author_page(self, name: str) -> str:
        return self._settings.site + label_path("author", name)

    def _organisation(self) -> dict[str, Any]:
        site = self._settings
        return filled(
            {
                "@type": "NewsMediaOrganization",
                "name": site.site_publisher or site.site_name,
                "url": f"{site.site}/",
                "logo": self._logo and {"@type": "ImageObject", "url": self._logo},
            }
        )

    def _breadcrumbs(self, trail: Sequence[tuple[str, str]]) -> dict[str, Any]:
        steps = [(self._settings.site_name, f"{self._settings.site}/"), *trail]
        return {
            "@context": "https://schema.org",
            "@type": "BreadcrumbList",
            "itemListElement": [
                {"@type": "ListItem", "position": at, "name": name, "item": address}
                for at, (name, address) in enumerate(steps, 1)
            ],
        }

    def _full(self, title: str) -> str:
        return f"{title} · {self._settings.site_name}"


def _headlines(articles: Sequence[Teaser]) -> str:
    return _beginning(" · ".join(article.title for article in articles[:5]))


def _beginning(text: str) -> str:
    return shortened(" ".join(text[: 4 * DESCRIPTION_CHARACTERS].split()), DESCRIPTION_CHARACTERS)
