"""docs/guide/problems.rst has an entry for every message of the package, and for no other."""

import ast
import builtins
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "guide" / "problems.rst"
# Stands for what is not fixed, until it is written as three dots.
GAP = "\0"
# An entry quotes a whole sentence, or so many characters from its start.
ENOUGH = 40
# Nobody sees this one: it ends a thread whose caller was interrupted.
INTERNAL = {"The caller was interrupted"}
# Messages that scikit-learn writes, which the page explains too.
FROM_SCIKIT_LEARN = {
    "The ... parameter of AutoencoderTransformer must be",
    "X has ... features, but AutoencoderTransformer is expecting ... features as input",
    "This AutoencoderTransformer instance is not fitted yet",
    "Trying to unpickle estimator AutoencoderTransformer from version ... when using version",
    "... requires matplotlib",
}


def name_of(node):
    return getattr(node, "id", getattr(node, "attr", ""))


def called(node):
    return name_of(node.func) if isinstance(node, ast.Call) else ""


def is_exception(name):
    """Return whether a function makes an exception or a warning, as far as its name tells."""
    kind = getattr(builtins, name, None)
    known = isinstance(kind, type) and issubclass(kind, BaseException)
    return known or name.endswith(("Error", "Warning"))


def defined(name, scopes):
    """Return what is assigned to a name, or returned by it, in the innermost scope that does so.

    The second value are the scopes around that one.
    """
    for i, scope in enumerate(scopes):
        found = []
        for node in ast.walk(scope):
            if isinstance(node, ast.Assign | ast.AugAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found += [node.value for target in targets if name_of(target) == name]
            if isinstance(node, ast.FunctionDef) and node.name == name:
                found += [r.value for r in ast.walk(node) if isinstance(r, ast.Return) and r.value]
        if found:
            return found, scopes[i + 1 :]
    return [], []


def texts(node, scopes):
    """Return the texts that an expression may be, as far as the module tells."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        found = [""]
        for part in node.values:
            ends = texts(part, scopes)
            found = [text + end for text in found for end in ends]
        return found
    if isinstance(node, ast.FormattedValue):
        found = texts(node.value, scopes)
        sentences = found and all(text.rstrip().endswith(".") for text in found)
        return found if sentences else [GAP]
    if isinstance(node, ast.BinOp):
        ends = texts(node.right, scopes) or [GAP]
        return [text + end for text in texts(node.left, scopes) or [GAP] for end in ends]
    if isinstance(node, ast.IfExp):
        return texts(node.body, scopes) + texts(node.orelse, scopes)
    if isinstance(node, ast.Call) and name_of(node.func) in ("format", "lstrip"):
        return [re.sub(r"\{.*?\}", GAP, text) for text in texts(node.func.value, scopes)]
    values, around = defined(called(node) or name_of(node), scopes)
    return [text for value in values for text in texts(value, around)]


def first_sentence(text):
    text = re.split(r"\.(?: |$)", " ".join(text.split()))[0]
    return re.sub(f"{GAP}+", "...", text).removesuffix(": ...")


def messages(source):
    """Return the first sentences of the messages of a module, by their line."""
    tree = ast.parse(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "__str__":
            given = [value for value in defined("__str__", [node])[0] if has_text(value)]
        elif isinstance(node, ast.Call) and name_of(node.func) == "warn":
            # If it is an exception, that has the message.
            given = [arg for arg in node.args[:1] if not is_exception(called(arg))]
        elif isinstance(node, ast.Call) and is_exception(name_of(node.func)):
            # The operating system has the messages of its own errors.
            given = [arg for arg in node.args[:1] if not ast.unparse(arg).startswith("errno.")]
        else:
            continue
        above = [node]
        while above[-1] in parents:
            above.append(parents[above[-1]])
        scopes = [scope for scope in above if isinstance(scope, ast.FunctionDef | ast.Module)]
        if given:
            sentences = map(first_sentence, texts(given[0], scopes))
            found[node.lineno] = [text for text in sentences if text.strip("., ")]
    return found


def has_text(node):
    constants = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return any(re.search(r"\w \w", str(value)) for value in constants)


def all_messages():
    """Return the first sentences of all messages of the package, by file and line."""
    return {
        f"{path.relative_to(ROOT)}:{line}": sentences
        for path in sorted((ROOT / "skae").rglob("*.py"))
        for line, sentences in messages(path.read_text()).items()
    }


def quoted():
    """Return the messages on the page: its lines, and items of lists, that are one literal."""
    return set(re.findall(r"^ *(?:- )?`(.+)`$", PAGE.read_text(), re.MULTILINE))


def begins(quote, sentence):
    return sentence == quote or (len(quote) >= ENOUGH and sentence.startswith(quote))


def test_every_message_is_found():
    """The test knows the texts of all warnings and errors in the package."""
    found = all_messages()
    assert len(found) > 120
    # This one is of a class whose own text is found.
    unknown = {place.partition(":")[0] for place, sentences in found.items() if not sentences}
    assert unknown <= {"skae/_files/storage.py"}


def test_every_message_has_an_entry():
    entries = quoted() | INTERNAL
    missing = {
        place: sentence
        for place, sentences in all_messages().items()
        for sentence in sentences
        if not any(begins(entry, sentence) for entry in entries)
    }
    assert missing == {}


def test_every_entry_is_of_a_message():
    sentences = {sentence for found in all_messages().values() for sentence in found}
    stale = [
        quote
        for quote in quoted() - FROM_SCIKIT_LEARN
        if not any(begins(quote, sentence) for sentence in sentences)
    ]
    assert stale == []


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("warnings.warn(f'It is {a} now. Wait.', UserWarning)", "It is ... now"),
        ("def f(x):\n    raise ValueError('No: ' + x)", "No"),
        ("NO = 'No {!r}. Yes.'\ndef f():\n    raise TypeError(NO.format(1))", "No ..."),
        ("def f():\n    return KeyError(g())\ndef g():\n    return 'Not g, g.h.'", "Not g, g.h"),
        ("class AWarning(UserWarning):\n    def __str__(self):\n        return 'Of A.'", "Of A"),
        ("def f():\n    found = ''\n    found += 'One.'\n    warn(found.lstrip())", "One"),
        ("def f(x):\n    why = 'x.' if x else 'y.'\n    raise OSError(f'No: {why}')", "No: y"),
    ],
)
def test_messages_are_read_from_the_source(source, sentence):
    assert sentence in [text for found in messages(source).values() for text in found]
