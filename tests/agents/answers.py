"""Reads the answers of the API."""


def ids(response):
    assert response.status_code == 200
    return [row["id"] for row in response.json()["results"]]


def problem(response):
    assert response.headers["Content-Type"] == "application/problem+json"
    document = response.json()
    assert set(document) == {"type", "title", "status", "detail", "code", "correlation_id"}
    assert document["status"] == response.status_code
    return document
