#!/usr/bin/env python3
"""Makes the price table that ships with Hermod, crates/governance/data/prices.json.

    deploy/prices.py SOURCE --from NAME [--date YYYY-MM-DD] > crates/governance/data/prices.json

SOURCE is LiteLLM's model_prices_and_context_window.json: a path or a URL. Its package on PyPI has the same file, as
litellm/model_prices_and_context_window_backup.json. NAME says which one it was.

Kept are the providers that Hermod calls, the modes that it serves, and the members that it reads (prices/table.rs); as they are
written there, in dollars.
"""
import argparse
import datetime
import json
import re
import sys
import urllib.request

# What LiteLLM calls the providers that have a kind in types/src/config/kind.rs and a list of prices.
PROVIDERS = re.compile(
    r"(openai|text-completion-openai|azure|azure_text|together_ai|fireworks_ai(-.*)?|openrouter|deepseek|nebius"
    r"|parasail|mistral|codestral|text-completion-codestral|huggingface|groq|xai|cerebras|perplexity|anthropic"
    r"|cohere|cohere_chat|gemini|vertex_ai(-.*)?|bedrock|bedrock_converse|elevenlabs|voyage|jina_ai)"
)
MODES = {
    "chat", "completion", "responses", "embedding", "rerank", "image_generation", "image_edit", "audio_speech",
    "audio_transcription", "ocr",
}  # fmt: skip
MEMBERS = re.compile(
    r"(input_cost_per_(token|audio_token|image_token|character|second|image|query|request)"
    r"|output_cost_per_(token|audio_token|image_token|reasoning_token|character|second|image)"
    r"|cache_read_input_token_cost|cache_creation_input_token_cost(_above_1hr)?|ocr_cost_per_page)"
    r"(_above_[0-9]+k_tokens)?(_priority|_flex)?"
)
# Prices of a region, of a size of images, or of what is bought in advance: Hermod does not know which applies.
NOT_A_MODEL = re.compile(
    r"((bedrock|azure)/.*/.+|[0-9]+-x-[0-9]+/.*|(hd|standard|low|medium|high)/.*|.*/(max|[0-9]+)-steps/.*"
    r"|(together-ai|fireworks-ai)-.*)"
)


def read(source):
    if re.match(r"https?://", source):
        with urllib.request.urlopen(source, timeout=60) as answer:
            return json.load(answer, parse_float=str)
    with open(source, encoding="utf-8") as file:
        return json.load(file, parse_float=str)


def number(value):
    """The shortest text for the same number."""
    short = repr(float(value))
    return short.removesuffix(".0")


def entry(model):
    kept = {"litellm_provider": json.dumps(model["litellm_provider"]), "mode": json.dumps(model["mode"])}
    output = model.get("max_output_tokens") or model.get("max_tokens")
    if isinstance(output, int) and model["mode"] in {"chat", "completion", "responses"}:
        kept["max_output_tokens"] = str(output)
    prices = {
        name: number(value)
        for name, value in sorted(model.items())
        if MEMBERS.fullmatch(name) and isinstance(value, (int, str)) and float(value) >= 0
    }
    kept.update(prices)
    return ",".join(f'"{name}":{value}' for name, value in kept.items()) if prices else None


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("source")
    arguments.add_argument("--from", dest="origin", required=True, help="what the source is, with its version")
    arguments.add_argument("--date", default=datetime.date.today().isoformat(), help="of the source")
    arguments = arguments.parse_args()
    lines = []
    for name, model in sorted(read(arguments.source).items()):
        is_ours = PROVIDERS.fullmatch(model.get("litellm_provider", "")) and model.get("mode") in MODES
        if is_ours and not NOT_A_MODEL.fullmatch(name):
            members = entry(model)
            if members:
                lines.append(f"{json.dumps(name)}:{{{members}}}")
    head = {
        "date": arguments.date,
        "source": arguments.origin,
        "licence": "MIT, Copyright (c) 2023 Berri AI",
    }
    sys.stdout.write(f'{{"_about":{json.dumps(head)},\n' + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
