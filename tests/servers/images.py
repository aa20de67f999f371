"""The one list of images: what tests start through Docker, and what the compose file names."""

IMAGES = {
    "redis": "redis:8.2",
    "elasticsearch": "docker.elastic.co/elasticsearch/elasticsearch:9.4.3",
    "gateway": "nginx:1.29",
}
