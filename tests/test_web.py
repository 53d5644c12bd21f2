"""The folder of `mien export --web`: whole or not at all, never over other things. tests/browser has the page in it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from pathlib import Path

import onnx
import pytest

import mien
from mien import web
from mien.assets import asset
from mien.atomic import put
from mien.cli import main
from mien.errors import MienError, MissingError, UsageError
from mien.runtime.network import locate
from mien.runtime.seal import network_of, seal
from mien.web import folder as writer


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return mien.export("mien:tiny", web=tmp_path / "page").path


def test_it_has_all_that_the_browser_needs(page: Path) -> None:
    files = {path.relative_to(page).as_posix(): path for path in page.rglob("*") if path.is_file()}
    assert files["model.onnx"].read_bytes() == Path(locate("mien:tiny")).read_bytes()
    hashes = json.loads(re.search(r"FILES = ({.*});", files["offline.js"].read_text())[1])  # type: ignore[index]
    assert hashes == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if name != "offline.js"
    }
    written = "".join(path.read_text() for path in (*page.glob("*.js"), page / "index.html"))
    asked = set(re.findall(r'"(?:\./)?([\w/.-]+\.(?:js|css|svg|json|onnx|gz))"', written)) - {"openapi.json"}
    assert len(asked) > 12
    assert asked <= set(files)
    assert "connect-src 'self'" in files["index.html"].read_text()


def test_onnxruntime_web_is_what_its_readme_says() -> None:
    said = dict(
        re.findall(
            r"^\| `([\w.-]+)`[^|]*\| [\d,]+ \| (\w{64}) \|$", asset("onnxruntime_web", "README.md").read_text(), re.M
        )
    )
    packed = asset("onnxruntime_web", "ort-wasm-simd-threaded.wasm.gz").read_bytes()
    assert said.pop("ort-wasm-simd-threaded.wasm") == hashlib.sha256(gzip.decompress(packed)).hexdigest()
    assert len(said) == 3
    for name, digest in said.items():
        assert hashlib.sha256(asset("onnxruntime_web", name).read_bytes()).hexdigest() == digest


def test_a_folder_is_replaced_only_where_it_is_told_and_ours(page: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"page exists\. Choose another folder for `web`, or `overwrite` it"):
        mien.export("mien:tiny", web=page)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    with pytest.raises(UsageError, match="photos holds other things than a web folder"):
        mien.export("mien:tiny", web=tmp_path / "photos", overwrite=True)
    with pytest.raises(UsageError, match=r"photos/me\.jpg holds other things"):
        mien.export("mien:tiny", web=tmp_path / "photos" / "me.jpg", overwrite=True)
    (page / ".git").mkdir()
    (page / ".git" / "config").touch()
    with pytest.raises(UsageError, match=r"page/\.git/config is no part of a web folder, and would be lost"):
        mien.export("mien:tiny", web=page, overwrite=True)
    (page / ".git" / "config").unlink()
    (page / "worker.js").write_text("old")
    assert mien.export("mien:tiny", web=page, overwrite=True, margin=0.1).path == page
    assert (page / "worker.js").read_text() != "old"
    assert json.loads((page / "settings.json").read_text()) == {
        "detect": True,
        "margin": 0.1,
        "limits": {"body": 20_000_000, "pixels": 40_000_000},
    }


def test_a_link_is_followed_and_no_pipe_makes_way(tmp_path: Path) -> None:
    (tmp_path / "behind").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "behind")
    mien.export("mien:tiny", web=tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "behind" / "index.html").is_file()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="pipe holds other things"):
        mien.export("mien:tiny", web=tmp_path / "pipe", overwrite=True)


def test_where_writing_fails_the_folder_from_before_stays(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = {path: path.read_bytes() for path in page.rglob("*") if path.is_file()}
    monkeypatch.setattr(writer, "put", full)
    with pytest.raises(MienError, match=r"Writing .*page failed: No space left on device\. Free some space"):
        mien.export("mien:tiny", web=page, overwrite=True)
    assert before == {path: path.read_bytes() for path in page.rglob("*") if path.is_file()}
    assert [path.name for path in page.parent.iterdir()] == ["page"]


def test_another_export_may_replace_the_folder_at_once(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def put_and_lose(new: Path, place: Path) -> None:
        put(new, place)
        place.rename(page)

    monkeypatch.setattr(writer, "put", put_and_lose)
    page.rename(page.with_name("before"))
    assert mien.export("mien:tiny", web=page.with_name("second")).size > 4e6


def test_what_the_page_cannot_run_is_refused(tmp_path: Path) -> None:
    content = Path(locate("mien:tiny")).read_bytes()
    text = onnx.load_from_string(content).metadata_props[-1].value
    model = onnx.load_from_string(network_of(content, text))
    model.opset_import[0].version = 23
    values = json.loads(text)
    del values["fingerprint"]
    file = tmp_path / "new.onnx"
    file.write_bytes(seal(model.SerializeToString(), values))
    with pytest.raises(
        UsageError, match="needs version 23 of ONNX's operators, and the browser's onnxruntime knows 22"
    ):
        web.write_web_folder(file, tmp_path / "page")
    with pytest.raises(UsageError, match="`margin` -1: give the share"):
        web.write_web_folder("mien:tiny", tmp_path / "page", margin=-1)
    with pytest.raises(MissingError, match=r"mien:tinny does not come with mien\. Did you mean 'mien:tiny'"):
        mien.export("mien:tinny", web=tmp_path / "page")
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mien:tiny", "--web", "{page}"], "page exists. Choose another folder for --web, or --overwrite it."),
        (["mien:tiny", "--web", "{new}", "--error-rate", "0.1"], "mien:tiny is exported already, so --error-rate says"),
        (["runs/a", "--margin", "0.1"], "--margin is of a web folder. Say where it is to be written: --web."),
    ],
)
def test_the_command_line_says_what_is_wrong(
    page: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *(word.format(page=page, new=page.with_name("new")) for word in words)]) == 2
    assert said in capsys.readouterr().err


def test_the_command_lists_the_files_and_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "mien:tiny", "--web", str(tmp_path / "page")]) == 0
    printed = capsys.readouterr()
    assert re.search(r"^  onnxruntime/ort-wasm-simd-threaded.wasm.gz +2,868,709$", printed.out, re.M)
    assert f"Next: python -m http.server -d {tmp_path / 'page'}" in printed.err


def test_a_foreign_offline_js_is_no_web_folder(tmp_path: Path) -> None:
    (tmp_path / "offline.js").write_text("const FILES = {a: 1};\n")
    with pytest.raises(UsageError, match="holds other things than a web folder"):
        web.refuse(tmp_path, 0.0, True)
