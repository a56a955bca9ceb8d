"""The server of a dashboard: Streamlit's, with our routes beside its own, for this machine alone by default."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsanalysis.dashboard.routes import our_routes
from fsanalysis.dashboard.same_origin import SameOrigin
from fsanalysis.dashboard.widgets.plain_words import plain
from fsengine.errors import FaceStatsError, InvalidInputError, MissingDependencyError, ResultsError
from fsengine.server.loopback import is_loopback_host, is_unspecified_host

if TYPE_CHECKING:
    from streamlit.starlette import App

_SCRIPT = Path(__file__).parent / "dashboard_script.py"
_MOST_UPLOAD_MB = 64


def check_host(host: str, expose: bool) -> None:
    """Refuse an address that others reach, unless the user said what that shows them.

    Raises:
        InvalidInputError: The user did not.
    """
    if expose or (is_loopback_host(host) and not is_unspecified_host(host)):
        return
    raise InvalidInputError(
        f"{host!r} is none of 127.0.0.1, ::1 and localhost: everybody who reaches it would see the faces, photos and "
        "scores of these people, without a password and without TLS: listen on 127.0.0.1 (and use an SSH tunnel), or "
        "say --expose-faces if the network is closed to others"
    )


def dashboard_app(host: str) -> App:
    """Return the application.

    Args:
        host: Address that it will listen on.

    Raises:
        MissingDependencyError: Streamlit is not installed.
    """
    try:
        from starlette.middleware import Middleware
        from streamlit.starlette import App
    except ImportError as exc:
        raise MissingDependencyError("Streamlit is missing: pip install 'facestats[analysis]'") from exc
    closed = is_loopback_host(host) and not is_unspecified_host(host)
    names = ["127.0.0.1", "localhost", "::1", host]
    if not closed:
        names += [socket.gethostname(), socket.getfqdn()]
    return App(
        _SCRIPT,
        routes=our_routes(),
        middleware=[Middleware(SameOrigin, names=names, any_address=not closed)],
        on_script_error=_tell,
    )


def settings(host: str, port: int) -> dict[str, Any]:
    """Return Streamlit's options: what the user's own files of it say does not count."""
    return {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.maxUploadSize": _MOST_UPLOAD_MB,
        "server.enableStaticServing": False,
        "server.enableXsrfProtection": False,  # `SameOrigin` stands for both
        "server.enableCORS": False,
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "global.developmentMode": False,
        "logger.level": "warning",
        "logger.hideWelcomeMessage": True,
        "theme.base": "light",
        "theme.primaryColor": "#0072B2",
    }


def _tell(error: Exception) -> bool:
    """Show an error of ours in words, and leave others to Streamlit."""
    if not isinstance(error, FaceStatsError):
        return False
    import streamlit

    streamlit.error(plain(error))
    if isinstance(error, ResultsError):
        streamlit.caption("Results that were changed or moved are shown once `fsclient dashboard` is started again.")
    return True
