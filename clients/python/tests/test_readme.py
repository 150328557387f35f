"""The README's examples run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent
EXAMPLES = re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_runs(
    example: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERMOD_URL", url)
    exec(compile(example.replace("http://localhost:8080", url), "README.md", "exec"), {"__name__": "__main__"})
    expected = re.findall(r"print\(.*#\s*(.+)$", example, re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == expected


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4
