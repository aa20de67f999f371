"""The least that search and its commands must be allowed in Elasticsearch.

A test runs the main job under these privileges, and finds that it fails without any one of them.
"""

from typing import Any

from newswire_search.index.mapping import stem_of

NAME = "newswire-search"
CLUSTER_PRIVILEGES = ("cluster:monitor/health",)
"""A new index is put into use when its replicas are there."""
INDEX_PRIVILEGES = (
    "read",
    "index",  # it includes no deletion: a retraction is a tombstone
    "create_index",
    "delete_index",  # a new index that was abandoned, and old ones
    "view_index_metadata",
    "indices:admin/refresh*",
    "indices:admin/aliases",  # puts a new index into use
    "indices:admin/settings/update",  # a new index is filled with other settings, and a block is removed
    "indices:admin/block/add*",  # while a new index is put into use
)
"""Actions where the named privilege would be `manage`, which includes all others; with ``*``, also on each shard."""


def role_descriptor(namespace: str) -> dict[str, Any]:
    """Return the role: the body of ``PUT _security/role/…``, and a role descriptor of an API key."""
    return {
        "cluster": list(CLUSTER_PRIVILEGES),
        "indices": [{"names": [f"{stem_of(namespace)}-*"], "privileges": list(INDEX_PRIVILEGES)}],
    }


def api_key_request(namespace: str) -> dict[str, Any]:
    """Return the body of ``POST _security/api_key`` for a key with this role, which has nothing else of its creator's rights."""
    return {"name": NAME, "role_descriptors": {NAME: role_descriptor(namespace)}}
