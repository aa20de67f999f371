"""The list of images that tests start through Docker and that the compose file uses."""

IMAGES = {
    "redis": "redis:8.2",
    "elasticsearch": "docker.elastic.co/elasticsearch/elasticsearch:9.4.3",
    "gateway": "nginx:1.29",
    "mail": "axllent/mailpit:v1.33.1",
}
