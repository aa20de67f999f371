"""The names that generated clients call operations by."""

import pytest

from newswire.http.operation_ids import operation_name


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1/articles", "createArticle"),
        ("GET", "/v1/articles", "listArticles"),
        ("GET", "/v1/articles/{article_id}", "getArticle"),
        ("PUT", "/v1/articles/{article_id}", "replaceArticle"),
        ("PATCH", "/v1/articles/by-external-id/{external_id}", "updateArticleByExternalId"),
        ("POST", "/v1/articles/batch", "batchArticles"),
        ("GET", "/v1/articles/{article_id}/versions/{number}", "getArticleVersion"),
        ("DELETE", "/v1/admin/articles/{article_id}", "deleteArticleAsAdmin"),
        ("POST", "/v1/admin/subscriptions/{subscription_id}/pause", "pauseSubscriptionAsAdmin"),
        ("POST", "/v1/topics/merge", "mergeTopics"),
        ("POST", "/v1/users/{user_id}/sign-out", "signOutUser"),
        ("GET", "/v1/audit-log", "getAuditLog"),
        ("GET", "/v1/subscriptions/{subscription_id}/deliveries", "listSubscriptionDeliveries"),
        ("POST", "/v1/subscriptions/{subscription_id}/deliveries/{delivery_id}/replay", "replaySubscriptionDelivery"),
        ("POST", "/v1/subscriptions/{subscription_id}/secret/rotate", "rotateSubscriptionSecret"),
        ("GET", "/v1/subscriptions/{subscription_id}/replay", "getSubscriptionReplay"),
        ("POST", "/v1/dead-letters/{delivery_id}/retry", "retryDeadLetter"),
        ("POST", "/v1/stream/tokens", "createStreamToken"),
        ("GET", "/feeds/latest.{format}", "getFeedsLatest"),
        ("GET", "/feeds/{field}/{value}.{format}", "getFeed"),
        ("GET", "/sitemap-{name}.xml", "getSitemap"),
        ("GET", "/", "get"),
    ],
)
def test_a_name_says_what_the_operation_does(method: str, path: str, name: str) -> None:
    assert operation_name(method, path) == name
