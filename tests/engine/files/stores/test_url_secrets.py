"""What of a URL is shown and stored: nothing that grants access, and two photos stay two."""

from __future__ import annotations

import pytest

from fsengine.errors import InvalidInputError
from fsengine.files.stores.store_path import any_path
from fsengine.files.stores.store_urls import checked_url, local_path, mistyped, public_url

PRESIGNED = {
    "aws v4": "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F1&X-Amz-Expires=9&X-Amz-Signature=5ec12e7",
    "aws v2": "AWSAccessKeyId=AKIA5ec12e7&Signature=5ec12e7%3D&Expires=1900000000",
    "gcs v4": "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=5ec12e7&X-Goog-Signature=5ec12e7",
    "gcs v2": "GoogleAccessId=5ec12e7&Expires=1900000000&Signature=5ec12e7",
    "cloudfront": "Expires=1900000000&Signature=5ec12e7~_&Key-Pair-Id=K5ec12e7",
    "cloudfront policy": "Policy=5ec12e7__&Signature=5ec12e7&Key-Pair-Id=K5ec12e7",
    "azure sas": "sv=2024-08-04&ss=b&srt=o&sp=r&se=2030-01-01T00%3A00Z&st=2026-01-01&spr=https&sig=5ec12e7%3D",
    "azure user": "sv=2024-08-04&skoid=5ec12e7&sktid=5ec12e7&skt=x&ske=y&sks=b&skv=z&sr=b&sp=r&sig=5ec12e7",
    "aliyun": "OSSAccessKeyId=5ec12e7&Expires=1900000000&Signature=5ec12e7",
    "akamai": "hdnts=exp=1900000000~acl=/*~hmac=5ec12e7",
}


@pytest.mark.parametrize("query", PRESIGNED.values(), ids=PRESIGNED)
def test_what_presigns_a_url_goes_and_the_rest_stays_as_it_is_written(query: str) -> None:
    assert public_url(f"https://h.example/a%20b/c.jpg?{query}") == "https://h.example/a%20b/c.jpg"
    kept = "versionId=7&w=100%2B1&empty="
    assert public_url(f"https://h.example/c.jpg?versionId=7&{query}&w=100%2B1&empty=#x") == (
        f"https://h.example/c.jpg?{kept}"
    )


@pytest.mark.parametrize(
    "name",
    [
        *["key", "api_key", "apikey", "API-Key", "token", "access_token", "authToken", "auth", "authorization", "jwt"],
        *["password", "passwd", "pwd", "pass", "secret", "client_secret", "signature", "sig", "hmac", "credential"],
        *["session", "sessionid", "sid", "policy", "subscription-key", "x%2Damz-security-token"],
    ],
)
def test_a_value_that_may_be_a_secret_is_hidden_and_tells_photos_apart(name: str) -> None:
    one, other = (public_url(f"https://h.example/photo?{name}={value}") for value in ("hunter2", "swordfish"))
    assert "hunter2" not in one
    assert "swordfish" not in other
    assert one != other
    assert one == public_url(f"https://h.example/photo?{name}=hunter2")
    assert public_url(one) != f"https://h.example/photo?{name}=hunter2"


@pytest.mark.parametrize(
    "query", ["id=7", "photo=a&size=3", "expires=never", "se=1&sp=2", "monkeys=3", "compass=n", "v", "a=b&a=c&&=x"]
)
def test_other_parameters_stay_as_they_are(query: str) -> None:
    assert public_url(f"https://h.example/photo?{query}") == f"https://h.example/photo?{query}"


def test_a_user_and_a_password_and_a_fragment_go() -> None:
    assert public_url("https://user:hunter2@h.example:8443/x.jpg#token=hunter2") == "https://h.example:8443/x.jpg"


def test_a_key_of_a_store_is_no_query() -> None:
    assert public_url("s3://photos/a?token=x#1.jpg") == "s3://photos/a?token=x#1.jpg"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://photos/a//b.jpg", "a part of its key is empty"),
        ("s3://photos//b.jpg", "a part of its key is empty"),
        ("gs://photos/a/../b.jpg", "'..'"),
        ("az://photos/./b.jpg", "'.'"),
        ("s3://photos/a\tb.jpg", "control character"),
        ("s3:///a.jpg", "names no bucket"),
        ("https:///a.jpg", "names no host"),
        ("https://user:hunter2@h.example/a.jpg", "holds a user or a password"),
        ("https://user:hunter2@h.example:port/a.jpg", "the host or the port"),
        ("https://[::1/a.jpg", "the host or the port"),
        ("ftp://h.example/a.jpg", "ftp:// cannot be read; expected a path or one of s3://"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_its_password(url: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        checked_url(url)
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["s3://photos", "s3://photos/", "s3://photos/a/", "S3://photos/a b#c?.jpg", "gs://bucket/ü"]
)
def test_urls_of_stores_are_read_whatever_their_keys_hold(url: str) -> None:
    assert checked_url(url) == url.replace("S3", "s3")


def test_a_file_url_names_a_path_of_this_machine() -> None:
    assert local_path("file:///a%20b/c?d#e") == b"/a b/c?d#e"
    assert local_path("FILE://localhost/a") == b"/a"
    assert local_path("/a") is None
    with pytest.raises(InvalidInputError, match="another machine"):
        local_path("file://other/a")


def test_a_url_with_one_slash_is_no_folder_to_write_to() -> None:
    assert mistyped("s3:/photos/a") == "s3://photos/a"
    assert [mistyped(text) for text in ("s3://photos", "photos", "./s3:/photos", "a/s3:/b")] == [None] * 4
    with pytest.raises(InvalidInputError, match=r"expected s3://photos/out, or \./s3:/photos/out"):
        any_path("s3:/photos/out")
