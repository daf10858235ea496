"""The page as a server, and in a browser where there is one. It needs the extra app; else it is skipped."""

from __future__ import annotations

import io
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import advcam
from advcam.app.explain import Explainer
from advcam.attribute.result import LocalizationMaps
from advcam.export.source import RunView
from advcam.review.desk import Desk
from advcam.review.table import Entry, read_table, write_table

pytest.importorskip("gradio", reason="gradio is not installed: pip install advcam[app]")
httpx = pytest.importorskip("httpx")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from advcam.data.masks import write_mask

    root = tmp_path_factory.mktemp("run")
    entries = []
    ramp = np.linspace(0, 1, 16, dtype=np.float16)[None, None].repeat(12, axis=1)
    for number, name in enumerate("abc"):
        Image.new("RGB", (64, 48), (80 * number, 90, 120)).save(root / f"{name}.jpg")
        write_mask(root / "advcam/masks" / f"{name}.png", np.eye(48, 64, dtype=np.uint8))
        LocalizationMaps(np.array([0]), ramp, (48, 64), np.array([0.9], np.float32)).save(
            root / f"advcam/maps/{name}.npz"
        )
        entries.append(Entry(name, "cat", 0.9 - 0.1 * number, ("small 0.98",)))
    write_table(root / "review.csv", entries)
    (root / "report.html").write_text("<p>the report</p>")
    return root


@pytest.fixture(scope="module")
def address(run: Path) -> Iterator[str]:
    import uvicorn

    from advcam.app import server

    torch.manual_seed(0)
    mapper = advcam.ClassMapper(torch.nn.Conv2d(3, 8, 5, stride=4, padding=2), torch.randn(2, 8))
    images = {name: run / f"{name}.jpg" for name in "abc"}
    desk = Desk(RunView(run, ("cat", "dog"), images, dict.fromkeys("abc", (0,)), baseline=None))
    page = server.build(Explainer(mapper, ("cat", "dog")), desk, run)
    with socket.socket() as probe:
        probe.bind((server.HOST, 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(server.application(page, run), host=server.HOST, port=port, log_level="error")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.05)
    yield f"http://{server.HOST}:{port}"
    running.should_exit = True
    thread.join(20)


def test_how_far_a_run_is(tmp_path: Path) -> None:
    from advcam.app.run_tab import stage_rows
    from advcam.io.ledger import Ledger, Line

    begun = {"status": "running", "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(time.time() - 100))}
    made = {
        "classifier": {"status": "done", "seconds": 125.0},
        "advcam/maps": begun,
        "segmentation": begun,
        "boxes": {"status": "failed", "seconds": 3.0, "result": {"images": 7}},
    }
    (tmp_path / "run.yaml").write_text(json.dumps({"artifacts": made}))
    Ledger(tmp_path / "keys/advcam/maps.jsonl").note([Line(name, "key") for name in "abc"])
    (tmp_path / "segmentation").mkdir()
    (tmp_path / "segmentation/log.csv").write_text("update,lr,loss\n1,0.1,2.5\n2,0.1,1.5\n")
    rows = stage_rows(tmp_path, 8)
    assert [row[:3] for row in rows] == [
        ["classifier", "done", ""],
        ["advcam/maps", "running", "3 of 8 images"],
        ["segmentation", "running", "update 2, loss 1.5"],
        ["boxes", "failed", "7 images"],
    ]
    assert [row[3] for row in rows][::3] == ["2 min 5 s", "3.0 s"]
    assert rows[1][3].startswith("1 min 4")


def test_only_the_page_and_the_report_are_served(address: str, run: Path) -> None:
    assert httpx.get(f"{address}/").status_code == 200
    assert httpx.get(f"{address}/report").text == "<p>the report</p>"
    for path in ("/etc/passwd", run / "review.csv", run / "a.jpg", Path(__file__), "../../../etc/passwd"):
        assert httpx.get(f"{address}/gradio_api/file={path}").status_code in (403, 404)
    assert httpx.get(f"{address}/", headers={"host": "elsewhere.example"}).status_code == 403


def test_a_large_upload_is_refused_on_its_way(address: str) -> None:
    def body() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
        for _ in range(64):
            yield bytes(2**20)
        yield b"\r\n--x--\r\n"

    kind = {"content-type": "multipart/form-data; boundary=x"}
    assert httpx.post(f"{address}/gradio_api/upload", content=body(), headers=kind, timeout=60).status_code == 413


def test_a_hundred_uploads_at_once(address: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (30, 20)).save(file, "JPEG")

    def upload(number: int) -> int:
        files = {"files": (f"{number}.jpg", file.getvalue(), "image/jpeg")}
        return httpx.post(f"{address}/gradio_api/upload", files=files, timeout=60).status_code

    with ThreadPoolExecutor(100) as pool:
        assert set(pool.map(upload, range(100))) == {200}
    assert httpx.get(f"{address}/").status_code == 200


def test_in_a_browser(address: str, run: Path, tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)).save(tmp_path / "p.png")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(60_000)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(address)
        page.set_input_files("#dropped input[type=file]", str(tmp_path / "p.png"))
        page.wait_for_function("document.querySelector('#said').innerText.includes('sees')")
        page.click("#explain")
        page.wait_for_function("document.querySelector('#said').innerText.includes('8 steps climbed')")
        assert all(page.locator(f"#{name} img").count() for name in ("cam", "advcam", "mask"))
        page.get_by_role("tab", name="Review").click()
        page.wait_for_function("document.querySelector('#queue').innerText.startsWith('1 of 3')")
        for key, place in (("a", 2), ("r", 3)):
            page.keyboard.press(key)
            page.wait_for_function(f"document.querySelector('#queue').innerText.startsWith('{place} of 3')")
        # The third image: the half of its map that lies above a threshold of its own, by keys alone.
        for value in ("0.45", "0.5"):
            page.keyboard.press(".")
            page.wait_for_function(f"document.querySelector('#level input[type=number]').value == '{value}'")
        page.keyboard.press("t")
        page.wait_for_function("document.querySelector('#queue').innerText.includes('corrected')")
        assert [entry.decision for entry in read_table(run / "review.csv")] == ["accepted", "rejected", "corrected"]
        taken = np.asarray(Image.open(run / "corrected/masks/c.png"))
        assert (taken == (np.arange(64) >= 32)).mean() > 0.95
        page.get_by_text("Paint the mask").click()
        page.wait_for_selector("#editor canvas")
        page.wait_for_timeout(1000)
        page.locator("#editor canvas").first.scroll_into_view_if_needed()
        canvas = page.locator("#editor canvas").first.bounding_box()
        assert canvas is not None
        x, y = canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2
        page.mouse.move(x - 40, y)
        page.mouse.down()
        page.mouse.move(x + 40, y, steps=10)
        page.mouse.up()
        page.click("#keep")
        deadline = time.time() + 60
        while (painted := np.asarray(Image.open(run / "corrected/masks/c.png"))).tolist() == taken.tolist():
            assert time.time() < deadline
            time.sleep(0.2)
        page.keyboard.press("ArrowLeft")
        page.wait_for_function("document.querySelector('#queue').innerText.startsWith('2 of 3')")
        page.keyboard.press("l")
        page.keyboard.type("dog")
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
        page.keyboard.press("s")
        page.wait_for_function("document.querySelector('#queue').innerText.includes('relabelled')")
        browser.close()
    assert (run / "corrected/labels.csv").read_text().splitlines() == ["image,labels", "b,cat;dog"]
    assert wrong == []
    assert set(np.unique(painted)) <= {0, 1}
    assert sorted(path.name for path in (run / "corrected/masks").iterdir()) == ["a.png", "c.png"]
