"""How to connect each assistant to this monitor: text for the welcome page, with this server's own address in it."""

from __future__ import annotations

from ralex_core.dashboard.contexts.welcome import Guide, Step

TOKEN_PLACEHOLDER = "YOUR_TOKEN"  # noqa: S105 - what people replace, not a secret


def guides(base_url: str, *, needs_token: bool) -> list[Guide]:
    """One guide per way in. With a token, each says where it goes; the token itself is never shown."""
    header = f"Authorization=Bearer {TOKEN_PLACEHOLDER}" if needs_token else None
    return [
        _gateway(base_url, needs_token),
        _claude_code(base_url, header),
        _codex(base_url, header),
        _gemini(base_url, header),
        _aider(),
        _ralex(),
        _litellm(base_url, header),
        _opentelemetry(base_url, header),
        _python(base_url, needs_token),
        _http(base_url, needs_token),
    ]


def _exports(*pairs: tuple[str, str | None]) -> str:
    return "\n".join(f'export {name}="{value}"' for name, value in pairs if value is not None)


def _gateway(base_url: str, needs_token: bool) -> Guide:
    custom = f"X-Ralex-Token: {TOKEN_PLACEHOLDER}" if needs_token else None
    openai, anthropic = f"{base_url}/gateway/openai/v1", f"{base_url}/gateway/anthropic"
    steps = [
        Step(
            "What is built on OpenAI's SDK (OpenRouter: /gateway/openrouter/v1):",
            _exports(("OPENAI_BASE_URL", openai)),
            "sh",
        ),
        Step(
            "Claude Code, and what is built on Anthropic's SDK:",
            _exports(("ANTHROPIC_BASE_URL", anthropic), ("ANTHROPIC_CUSTOM_HEADERS", custom)),
            "sh",
        ),
        Step("Aider:", f"aider --openai-api-base {openai}", "sh"),
        Step(
            "Codex, in ~/.codex/config.toml:",
            'model_provider = "monitor"\n\n[model_providers.monitor]\nname = "through the monitor"\n'
            f'base_url = "{openai}"\nenv_key = "OPENAI_API_KEY"\nwire_api = "responses"'
            + (f'\nhttp_headers = {{ "X-Ralex-Token" = "{TOKEN_PLACEHOLDER}" }}' if needs_token else ""),
            "toml",
        ),
        Step(
            "OpenCode, in opencode.json:",
            '{\n  "provider": {\n'
            f'    "openai": {{"options": {{"baseURL": "{openai}"}}}},\n'
            f'    "anthropic": {{"options": {{"baseURL": "{anthropic}/v1"}}}}\n  }}\n}}',
            "json",
        ),
    ]
    if needs_token:
        steps.append(
            Step("The monitor's token goes beside the provider's key, as a header:", str(custom), "sh"),
        )
    return Guide(
        "gateway",
        "Gateway",
        "Point any assistant's base URL at the monitor: every call passes through unchanged and is seen, with its cost "
        "and time to first token. Keys pass through and are not kept.",
        steps,
    )


def _claude_code(base_url: str, header: str | None) -> Guide:
    return Guide(
        "claude_code",
        "Claude Code",
        "Its transcripts hold every call with exact tokens. Imported once, they are followed as they grow.",
        [
            Step(
                "Import the transcripts, here on this page or with the command:",
                "ralex-monitor import claude-code",
                "sh",
            ),
            Step(
                "On another machine, let Claude Code report its calls and tools as events:",
                _exports(
                    ("CLAUDE_CODE_ENABLE_TELEMETRY", "1"),
                    ("OTEL_LOGS_EXPORTER", "otlp"),
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", base_url),
                    ("OTEL_EXPORTER_OTLP_HEADERS", header),
                ),
                "sh",
            ),
        ],
    )


def _codex(base_url: str, header: str | None) -> Guide:
    headers = f'\nheaders = {{ "Authorization" = "Bearer {TOKEN_PLACEHOLDER}" }}' if header else ""
    return Guide(
        "codex",
        "Codex",
        "Codex reports its calls with their tokens, its requests and its tools as events.",
        [
            Step(
                "Add to ~/.codex/config.toml:",
                f'[otel.exporter.otlp-http]\nendpoint = "{base_url}/v1/logs"\nprotocol = "binary"{headers}',
                "toml",
            ),
        ],
    )


def _gemini(base_url: str, header: str | None) -> Guide:
    return Guide(
        "gemini",
        "Gemini CLI",
        "Gemini CLI reports its calls with their tokens, its errors and its tools as events.",
        [
            Step(
                "Before starting it:",
                _exports(
                    ("GEMINI_TELEMETRY_ENABLED", "true"),
                    ("GEMINI_TELEMETRY_LOG_PROMPTS", "false"),
                    ("GEMINI_TELEMETRY_TARGET", "local"),
                    ("GEMINI_TELEMETRY_OTLP_PROTOCOL", "http"),
                    ("GEMINI_TELEMETRY_OTLP_ENDPOINT", base_url),
                    ("OTEL_EXPORTER_OTLP_HEADERS", header),
                ),
                "sh",
            ),
        ],
    )


def _aider() -> Guide:
    return Guide(
        "aider",
        "Aider",
        "Aider writes an analytics log with tokens and its own cost of every message.",
        [
            Step("Let it write one:", "aider --analytics-log ~/.aider/analytics.jsonl", "sh"),
            Step(
                "Import it; while the monitor runs, it is followed:",
                "ralex-monitor import aider ~/.aider/analytics.jsonl",
                "sh",
            ),
        ],
    )


def _ralex() -> Guide:
    return Guide(
        "ralex",
        "Ralex",
        "Ralex keeps its usage in ~/.ralex/usage.jsonl and its operations in .ai-logs of each project.",
        [Step("Import both; while the monitor runs, they are followed:", "ralex-monitor import ralex", "sh")],
    )


def _litellm(base_url: str, header: str | None) -> Guide:
    return Guide(
        "litellm",
        "LiteLLM proxy",
        "Assistants that can be pointed at a LiteLLM proxy (OpenCode, Cursor and others) are seen through its spans.",
        [
            Step("In the proxy's config.yaml:", 'litellm_settings:\n  callbacks: ["otel"]', "yaml"),
            Step(
                "Before starting the proxy:",
                _exports(
                    ("LITELLM_OTEL_V2", "true"),
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", base_url),
                    ("OTEL_EXPORTER_OTLP_HEADERS", header),
                ),
                "sh",
            ),
        ],
    )


def _opentelemetry(base_url: str, header: str | None) -> Guide:
    return Guide(
        "opentelemetry",
        "OpenTelemetry",
        "Any program whose spans follow the GenAI conventions. They are answered only after they are stored.",
        [
            Step(
                "Point its exporter here:",
                _exports(
                    ("OTEL_TRACES_EXPORTER", "otlp"),
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", base_url),
                    ("OTEL_EXPORTER_OTLP_HEADERS", header),
                ),
                "sh",
            ),
        ],
    )


def _python(base_url: str, needs_token: bool) -> Guide:
    token = f', token="{TOKEN_PLACEHOLDER}"' if needs_token else ""
    return Guide(
        "python",
        "Python",
        "Record what your own program does. It never blocks, raises into or slows the program noticeably.",
        [
            Step("Install it where the program runs:", "pip install ralex-monitor", "sh"),
            Step(
                "Wrap a call:",
                "from ralex_core.monitoring import configure, operation\n\n"
                f'configure(endpoint="{base_url}"{token})\n\n'
                'with operation("answer", kind="llm", provider="anthropic", model="claude-sonnet-4-5") as op:\n'
                "    response = client.messages.create(...)\n"
                "    op.set(input_tokens=response.usage.input_tokens, output_tokens=response.usage.output_tokens)",
                "python",
            ),
        ],
    )


def _http(base_url: str, needs_token: bool) -> Guide:
    token = f" \\\n  -H 'Authorization: Bearer {TOKEN_PLACEHOLDER}'" if needs_token else ""
    return Guide(
        "http",
        "HTTP",
        "Send operations as JSON from anything that can make a request; the fields are listed at /docs.",
        [
            Step(
                "Send one:",
                f"curl {base_url}/api/v1/operations \\\n  -H 'Content-Type: application/json'{token} \\\n"
                '  -d \'{"kind": "llm", "name": "chat", "provider": "openai", "model": "gpt-4o-mini", '
                '"input_tokens": 1200, "output_tokens": 80, "duration_ms": 940}\'',
                "sh",
            ),
        ],
    )
