"""Which client a user agent belongs to. The text itself, which anybody may write anything into, is not kept."""

from __future__ import annotations

import re

MAX_READ = 512
REMEMBERED = 1000

# In this order: what an app embeds a browser in says "Mozilla" too, and so do most robots.
_CLIENTS = (
    ("bot", re.compile(r"bot\b|crawler|spider|slurp|preview|headless|lighthouse", re.I)),
    ("probe", re.compile(r"kube-probe|healthcheck|prometheus|uptime|pingdom|blackbox|gatus", re.I)),
    (
        "mobile app",
        re.compile(
            r"okhttp|cfnetwork|dalvik|\bdart/|flutter|react.?native|\bexpo\b|capacitor|cordova|; wv\)|alamofire"
            r"|\bmobile[ _-]?app\b|(?:^|[-_ /])(?:ios|android)/\d|^[\w.-]+(?:ios|android)\b",
            re.I,
        ),
    ),
    (
        "terminal",
        re.compile(
            r"^(?:curl|wget|httpie|xh|powershell)\b|\b(?:ralex|opencode|claude-cli|claude-code|codex|aider|gemini-?cli"
            r"|goose|terminal|cli)\b",
            re.I,
        ),
    ),
    ("web", re.compile(r"^(?:mozilla|opera)/", re.I)),
    (
        "program",
        re.compile(
            r"python|aiohttp|httpx|go-http-client|axios|undici|node|java|ruby|php|guzzle|libwww|rust|reqwest|postman"
            r"|insomnia|openai|anthropic|litellm",
            re.I,
        ),
    ),
)

remembered: dict[bytes, str | None] = {}
"""Of user agents, at most `MAX_READ` characters of each."""


def client_of(user_agent: bytes) -> str | None:
    """`terminal`, `web`, `mobile app`, `program` (a library), `bot` or `probe`; None when it is none we know."""
    agent = user_agent[:MAX_READ]
    try:
        return remembered[agent]
    except KeyError:
        pass
    text = agent.decode("latin-1")
    found = next((client for client, pattern in _CLIENTS if pattern.search(text)), None)
    if len(remembered) >= REMEMBERED:
        remembered.clear()
    remembered[agent] = found
    return found
