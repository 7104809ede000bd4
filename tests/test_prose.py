"""Docstrings, comments, messages and pages are in plain technical English."""

import ast
import inspect
import io
import re
import tokenize
from pathlib import Path

import pytest

import sklearn_ferroic

PACKAGE = Path(sklearn_ferroic.__file__).parent
ROOT = Path(__file__).parents[1]
MODULES = sorted(PACKAGE.rglob("*.py"))
PAGES = [
    path
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if "_build" not in path.parts and "auto_examples" not in path.parts
]
PAGES += [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")]

# First words of the summary of a function: not an instruction, or one without meaning.
VAGUE = {"Give", "Look", "Put", "Say", "See", "Take", "Tell", "Turn"}
QUESTIONS = {"How", "What", "When", "Where", "Whether", "Which", "Who", "Whose", "Why"}
WORDS = re.compile(
    r"\b(so many|company|anew|hangs? on|hung on|stands?|stood|beside|voices?|voiced|"
    r"pulls?(?! request)|first look|tells?|told|lest|a hair|dealt|dealing|"
    r"turned|quarter turns?|whole turns?|mend(ed|s)?|say so|goes? on|"
    r"one \w+\s+an? (site|sample|window|frame|group|image|patch|place|row|bin)|"
    r"(?<!there )(is|are) no (class|column|image|lattice|outlier|stack|table)s?|"
    r"(?<!charge )(?<!free )carriers?)\b",
    re.IGNORECASE,
)
NAME = re.compile(r"`[^`]*`|\"[^\"\n]*\"")


def docstrings(path):
    """Return the docstrings of a module with their nodes."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        kinds = ast.Module, ast.ClassDef, ast.FunctionDef
        text = ast.get_docstring(node) if isinstance(node, kinds) else None
        if text:
            yield node, text


def prose(path):
    """Return the docstrings and comments of a module, without names in backticks."""
    source = path.read_text(encoding="utf-8")
    texts = [text for _, text in docstrings(path)]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            texts.append(token.string)
    text = "\n".join(texts)
    lines = [line for line in text.split("\n") if ">>>" not in line]
    return NAME.sub("", "\n".join(lines))


def messages(path):
    """Return the texts of a module with spaces, except for its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {text for _, text in docstrings(path)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if " " in node.value and inspect.cleandoc(node.value) not in own:
                yield node.value


def relative(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_summaries_are_instructions_and_titles_are_nouns(path):
    bad = []
    for node, text in docstrings(path):
        first = re.match(r"\W*(\w+)", text)[1]
        not_wanted = QUESTIONS
        is_property = isinstance(node, ast.FunctionDef) and any(
            getattr(decorator, "id", None) == "property"
            for decorator in node.decorator_list
        )
        if isinstance(node, ast.FunctionDef):
            not_wanted = VAGUE if is_property else QUESTIONS | VAGUE
        if first in not_wanted:
            bad.append(text.split("\n")[0])
    assert bad == []


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_docstrings_and_comments_avoid_private_words(path):
    assert sorted({match[0] for match in WORDS.finditer(prose(path))}) == []


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_messages_avoid_private_words(path):
    text = NAME.sub("", "\n".join(messages(path)))
    assert sorted({match[0] for match in WORDS.finditer(text)}) == []


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_pages_avoid_private_words(path):
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    assert sorted({match[0] for match in WORDS.finditer(NAME.sub("", text))}) == []
