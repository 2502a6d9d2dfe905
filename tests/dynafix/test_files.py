"""Files are written whole or not at all; folders are refused with a clear word."""

import pytest

from dynafix.errors import UsageError
from dynafix.files import (
    existing_folder,
    model_file,
    new_folder,
    output_folder,
    read_json,
    sha256,
    write_bytes,
    write_json,
    write_text,
)


def test_output_folder_is_made(tmp_path):
    assert output_folder(tmp_path / "a" / "b").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_output_folder_under_a_file(tmp_path):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "out"
    with pytest.raises(UsageError) as caught:
        output_folder(folder)
    assert str(caught.value) == (f"--output {folder}: cannot be written (Not a directory). "
                                 f"Choose a folder that you may write to")


def test_missing_folder(tmp_path):
    folder = tmp_path / "none"
    with pytest.raises(UsageError) as caught:
        existing_folder(folder)
    assert str(caught.value) == (f"{folder}: no such folder. Make it with: dynafix quantize "
                                 f"MODEL.onnx --data DATA --output {folder}")


def test_write_replaces_whole_files(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "old")
    write_bytes(path, b"new")
    assert path.read_text() == "new"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


def test_failed_write_leaves_nothing(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"schema": 1})
    with pytest.raises(ValueError, match="Out of range float values"):
        write_json(path, {"schema": float("nan")})
    with pytest.raises(TypeError):
        write_bytes(path, "text")
    assert read_json(path, schema=1, made_by="x") == {"schema": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(("text", "message"), [
    (None, "missing. Make it with: dynafix run"),
    ("{", "not readable as JSON. Make it again with: dynafix run"),
    ("[]", "schema must be 1, not None. Make it again with: dynafix run"),
    ('{"schema": 2}', "schema must be 1, not 2. Make it again with: dynafix run"),
])
def test_unreadable_json(tmp_path, text, message):
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_json(path, schema=1, made_by="dynafix run")
    assert str(caught.value) == f"{path}: {message}"


def test_digest_of_a_folder_depends_on_names(tmp_path):
    (tmp_path / "a").write_text("x")
    first = sha256(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert sha256(tmp_path) != first


def _write_and_fail(folder):
    write_text(folder / "kept", "")
    raise KeyError


def test_new_folder_goes_with_a_failure(tmp_path):
    with pytest.raises(KeyError), new_folder(tmp_path / "a" / "b"):
        raise KeyError
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyError), new_folder(tmp_path / "a" / "b") as folder:
        _write_and_fail(folder)
    assert (tmp_path / "a" / "b" / "kept").exists()


@pytest.mark.parametrize(("function", "option"), [
    (existing_folder, "FOLDER"), (output_folder, "--output"), (model_file, "MODEL")])
def test_empty_name(function, option):
    with pytest.raises(UsageError) as caught:
        function("")
    assert str(caught.value) == f"{option} must not be empty"
