"""A model hub on the loopback address: one repository at one commit, whole or broken."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from support.server import Site

REPO = "someone/tiny"
REVISION = "0123456789abcdef0123456789abcdef01234567"


def hub_of(folder: Path, repo: str = REPO, revision: str = REVISION) -> Site:
    """A site that answers for `repo` as the hub does: a listing, and each file with its digest as ETag."""
    site = Site(
        refusals={
            "/api/models/": "RepoNotFound",
            f"/api/models/{repo}/": "RevisionNotFound",
            f"/{repo}/resolve/": "EntryNotFound",
        }
    )
    listing = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        entry: dict[str, object] = {"type": "file", "path": path.name, "size": len(content), "oid": git}
        digest = git
        if path.suffix == ".safetensors":
            digest = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
        listing.append(entry)
        url = f"/{repo}/resolve/{revision}/{path.name}"
        site.files[url] = content
        site.headers[url] = {"ETag": f'"{digest}"', "X-Repo-Commit": revision}
    for asked in (f"/api/models/{repo}", f"/api/models/{repo}/revision/main"):
        site.files[asked] = json.dumps({"id": repo, "sha": revision, "siblings": [], "tags": []}).encode()
        site.headers[asked] = {"Content-Type": "application/json"}
    tree = f"/api/models/{repo}/tree/{revision}?recursive=true&expand=false"
    site.files[tree] = json.dumps(listing).encode()
    site.headers[tree] = {"Content-Type": "application/json"}
    return site
