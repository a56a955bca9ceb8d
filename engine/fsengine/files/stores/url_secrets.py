"""What in the query of a web address grants access: left out of what is shown and stored, and photos stay apart."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import unquote_plus

_PRESIGNED: tuple[tuple[frozenset[str], re.Pattern[str]], ...] = tuple(
    (frozenset(marks.split()), re.compile(names))
    for marks, names in (
        # https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
        ("x-amz-signature", "x-amz-.*"),
        # https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
        ("awsaccesskeyid signature expires", "awsaccesskeyid|signature|expires|x-amz-security-token"),
        # https://cloud.google.com/storage/docs/authentication/signatures
        ("x-goog-signature", "x-goog-.*"),
        ("googleaccessid signature expires", "googleaccessid|signature|expires"),
        # https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-signed-urls.html
        ("key-pair-id signature", "key-pair-id|signature|expires|policy|hash-algorithm"),
        # https://learn.microsoft.com/rest/api/storageservices/create-service-sas, and those of an account and a user
        ("sv sig", "s[vrtespi]|sig|s[srt]{2}|spr|sip|sdd|skoid|sktid|sk[tesv]|saoid|suoid|scid|sduoid|ses"),
        # https://www.alibabacloud.com/help/en/oss/developer-reference/add-signatures-to-urls
        ("x-oss-signature", "x-oss-.*"),
        ("ossaccesskeyid signature expires", "ossaccesskeyid|signature|expires|security-token"),
        # https://techdocs.akamai.com/property-mgr/docs/auth-token-2-0-ver
        ("hdnts", "hdnts"),
        ("hdnea", "hdnea"),
        ("hdntl", "hdntl"),
    )
)
"""Parameters that together say that a URL is presigned, and all that belong to it: the next one of a photo differs."""

_SECRET = re.compile(
    r".*(token|secret|passw|passphrase|pwd|signature|credential|hmac|jwt).*|.*key|pass|auth.*|sig|sid|session.*|policy"
)
"""Lower-case names of parameters whose value may grant access, or may as well be the name of a photo."""

_DIGEST_CHARACTERS = 12


def without_secrets(query: str) -> str:
    """Return the query of a URL without what grants access.

    The parameters of a presigned URL go. Any other value that may be a secret is replaced by `hidden-` and the
    beginning of its SHA-256, so that two photos that it tells apart stay two. The rest stays as it is written.
    """
    pieces = query.split("&")
    names = [unquote_plus(piece.partition("=")[0]).lower() for piece in pieces]
    of_presigned = [pattern for marks, pattern in _PRESIGNED if marks.issubset(names)]
    kept = []
    for piece, name in zip(pieces, names, strict=True):
        if any(pattern.fullmatch(name) for pattern in of_presigned):
            continue
        key, _, value = piece.partition("=")
        if value and _SECRET.fullmatch(name):
            digest = hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()
            piece = f"{key}=hidden-{digest[:_DIGEST_CHARACTERS]}"
        kept.append(piece)
    return "&".join(kept)
