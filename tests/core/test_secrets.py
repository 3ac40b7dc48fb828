import logging

import pytest

from layerrank.__main__ import Formatter
from layerrank.core.secrets import masked
from layerrank.study.manifest import manifest

CASES = [
    ("https://user:pass@host/path", "https://***@host/path"),
    ("get https://token@hf.example/x, then", "get https://***@hf.example/x, then"),
    ("https://user:p@ss@host:8080", "https://***@host:8080"),
    ("HTTP_PROXY=http://me:secret@proxy:3128 is used", "HTTP_PROXY=http://***@proxy:3128 is used"),
    ("socks5h://me:secret@proxy", "socks5h://***@proxy"),
    ("https://host/file?token=abc&x=1", "https://host/file?token=***&x=1"),
    ("https://host/f?X-Amz-Signature=0af&X-Amz-Credential=me%2Fx&a=b", None),
    ("https:/me:secret@host/x: no such folder", "https:/***@host/x: no such folder"),
    ("two: https://a:b@c and ftp://d:e@f/g", "two: https://***@c and ftp://***@f/g"),
    ("https://huggingface.co/org/model@main", "https://huggingface.co/org/model@main"),
    ("mail me@host.example, see https://host.example/@me", "mail me@host.example, see https://host.example/@me"),
    ("https://host/search?q=key&page=2", "https://host/search?q=key&page=2"),
    ("nDCG@10 of L10-13", "nDCG@10 of L10-13"),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_addresses_lose_their_passwords_and_nothing_else_changes(text, expected):
    if expected is None:
        expected = "https://host/f?X-Amz-Signature=***&X-Amz-Credential=***&a=b"
    assert masked(text) == expected
    assert masked(masked(text)) == expected


def test_the_log_is_masked_with_its_tracebacks():
    try:
        raise OSError("cannot reach https://user:pass@host/")
    except OSError as error:
        record = logging.LogRecord("layerrank", 20, "f", 1, "at %s", ("https://a:b@c",), (OSError, error, None))
    line = Formatter("%(message)s").format(record)
    assert "pass" not in line and "a:b" not in line
    assert line.startswith("at https://***@c") and "https://***@host/" in line


def test_the_manifest_is_masked(tmp_path):
    study = {"config": {"source": "https://user:pass@host/x"}, "models": [{"repo": ["http://t0ken@hub"]}]}
    document = manifest(study, {"c": {"url": "https://u:pw@h/"}}, {}, [{"endpoint": "https://u:pw@h/"}], [], tmp_path)
    assert not any(secret in str(document) for secret in ("pass", "t0ken", "pw"))
    assert document["study"]["config"]["source"] == "https://***@host/x"
