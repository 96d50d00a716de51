"""The static page in a real browser: its bytes against Python's, offline, and its messages."""

from __future__ import annotations

import base64
import json
import random
import wave
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from benchmarks.pictures.samples import sample_photographs
from runtime import Enhancer, tiling
from tests.support.browser import PATIENCE, chromium, complaints, drop, patience, served, wait_for

pytestmark = pytest.mark.slow

Images = NDArray[np.uint8]

#: Gives the script's result to Selenium, or the error's message after a mark.
_RUN = """
const args = [...arguments], done = args.pop();
(async () => { %s })().then(done, (error) => done("error: " + error.message));
"""

#: In a page, the list of networks comes late, and a video has no frame at first, as it may have none when it begins anew.
_LATE = """
const fetched = window.fetch, take = window.createImageBitmap;
window.fetch = async (what, ...rest) => {
  if (String(what).endsWith("networks.json")) await new Promise((resolve) => setTimeout(resolve, 1000));
  return fetched(what, ...rest);
};
let looks = 0;
window.createImageBitmap = async (source, ...rest) => {
  if (source instanceof HTMLVideoElement && ++looks < 3) throw new Error("the image source is not usable");
  return take(source, ...rest);
};
"""

_ENHANCE = """
const { enhance } = await import("./enhance.js");
const bytes = Uint8Array.from(atob(args[0]), (sign) => sign.charCodeAt(0));
const blob = await enhance(new File([bytes], "night", { type: args[2] }), args[1]);
return new Promise((resolve) => {
  const reader = new FileReader();
  reader.onload = () => resolve([blob.type, reader.result.split(",")[1]]);
  reader.readAsDataURL(blob);
});
"""


def run(browser: Any, script: str, *words: Any) -> Any:
    """Run the body of an async function in the page."""
    result = browser.execute_async_script(_RUN % script, *words)
    if isinstance(result, str) and result.startswith("error: "):
        raise RuntimeError(result.removeprefix("error: "))
    return result


def enhance(browser: Any, image: Images | bytes, kind: str = "image/png", **options: Any) -> Images:
    """What the page makes of a picture."""
    data = image if isinstance(image, bytes) else cv2.imencode(".png", image[..., ::-1])[1].tobytes()
    made, text = run(browser, _ENHANCE, base64.b64encode(data).decode(), options, kind)
    assert made == kind
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1], np.uint8)


def apart(one: Images, other: Images) -> int:
    """The largest difference, in codes."""
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


@pytest.fixture(scope="module")
def page(page_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("browser")) as browser, served(page_folder) as address:
        browser.get(f"{address}photos/")
        yield browser
        assert not complaints(browser)


@pytest.fixture(scope="module")
def photograph() -> Images:
    return np.ascontiguousarray(sample_photographs()[0][1])


CASES = {
    "odd": (slice(0, 97), slice(40, 171)),
    "smallest": (slice(5, 21), slice(3, 20)),
    "a row of tiles": (slice(100, 137), slice(0, 1500)),
}


@pytest.mark.parametrize("network", ["dawn", "msrnet", "msr"])
@pytest.mark.parametrize("case", CASES)
def test_the_same_bytes_as_in_python(page: Any, photograph: Images, network: str, case: str) -> None:
    wide = np.concatenate([photograph] * 3, axis=1)
    picture = np.ascontiguousarray(wide[CASES[case]])
    expected = Enhancer(network, backend="onnxruntime")(picture)
    assert apart(enhance(page, picture, network=network), expected) <= 1


@pytest.mark.parametrize("network", ["dawn", "msr"])
def test_strength_and_gate(page: Any, photograph: Images, network: str) -> None:
    """Both kinds of mixing, and a picture that the gate half shuts."""
    enhancer = Enhancer(network, backend="onnxruntime")
    dark = np.ascontiguousarray(photograph[:64, :80])
    brighter = np.clip(dark.astype(int) * 2 + 25, 0, 255).astype(np.uint8)
    for picture in (dark, brighter):
        for options in ({"strength": 0.6}, {"gate": True}, {"strength": 0.35, "gate": True}):
            expected = enhancer(picture, **options)
            assert apart(enhance(page, picture, network=network, **options), expected) <= 1, options
        assert apart(enhance(page, picture, network=network, strength=0), picture) == 0
    bright = np.full((40, 50, 3), 200, np.uint8)
    assert apart(enhance(page, bright, network=network, gate=True), bright) == 0
    shares = enhancer(brighter, gate=True), enhancer(brighter), brighter
    assert apart(shares[0], shares[1]) > 1 and apart(shares[0], shares[2]) > 1


def test_a_photograph_stays_a_jpeg_and_comes_upright(page: Any, photograph: Images) -> None:
    exif = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"  # turned right
    picture = photograph[:120, :160, ::-1]
    made, data = cv2.imencodeWithMetadata(".jpg", picture, [0], [np.frombuffer(exif, np.uint8)], [])
    assert made
    result = enhance(page, data.tobytes(), "image/jpeg", network="dawn")
    upright = np.ascontiguousarray(
        cv2.rotate(cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION), cv2.ROTATE_90_CLOCKWISE)[..., ::-1]
    )
    difference = np.abs(Enhancer("dawn")(upright).astype(int) - result)
    assert result.shape == (160, 120, 3) and difference.mean() < 4


def test_what_is_lost_is_said(page: Any, photograph: Images) -> None:
    picture = np.ascontiguousarray(photograph[:20, :30])
    exif, profile = np.frombuffer(b"MM\x00*\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00", np.uint8), np.zeros(200, np.uint8)
    files = {
        "": cv2.imencode(".png", picture)[1],
        "with 8 of its 16 bits": cv2.imencode(".png", picture.astype(np.uint16) * 257)[1],
        "without its EXIF data": cv2.imencodeWithMetadata(".jpg", picture, [0], [exif], [])[1],
        "its colour profile's colours as sRGB; without its EXIF data": cv2.imencodeWithMetadata(
            ".jpg", picture, [0, 2], [exif, profile], []
        )[1],
    }
    script = """
    const { enhance } = await import("./enhance.js");
    const bytes = Uint8Array.from(atob(args[0]), (sign) => sign.charCodeAt(0));
    return (await enhance(new File([bytes], "night"), { network: "msrnet" })).note;
    """
    for note, data in files.items():
        assert run(page, script, base64.b64encode(data.tobytes()).decode()) == note


def test_alpha_stays(page: Any) -> None:
    picture = np.full((32, 48, 4), (30, 20, 10, 255), np.uint8)
    picture[:, :24, 3] = 128
    data = cv2.imencode(".png", picture)[1].tobytes()
    _, text = run(page, _ENHANCE, base64.b64encode(data).decode(), {"network": "msrnet"}, "image/png")
    result = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_UNCHANGED)
    assert result is not None and (result[..., 3] == picture[..., 3]).all()


def test_what_it_refuses_is_said_in_one_line(page: Any) -> None:
    with pytest.raises(RuntimeError, match="night is no picture that this browser reads"):
        enhance(page, b"no picture", network="dawn")
    with pytest.raises(RuntimeError, match=r"10x50 \(HxW\), 16x16 and up"):
        enhance(page, np.zeros((10, 50, 3), np.uint8), network="dawn")
    with pytest.raises(RuntimeError, match=r"1001x1000 \(HxW\), at most 1,000,000 pixels"):
        enhance(page, np.zeros((1001, 1000, 3), np.uint8), network="msr")
    with pytest.raises(RuntimeError, match="no network dusk"):
        enhance(page, np.zeros((20, 20, 3), np.uint8), network="dusk")


def test_an_aborted_picture_ends_and_the_next_one_comes(page: Any, photograph: Images) -> None:
    script = """
    const { enhance } = await import("./enhance.js");
    const canvas = new OffscreenCanvas(2000, 600);
    canvas.getContext("2d").fillRect(0, 0, 2000, 600);
    const stop = new AbortController(), seen = window.seen = [];
    const progress = (done, total) => { seen.push([done, total]); stop.abort(); };
    const options = { network: "msrnet", signal: stop.signal, progress };
    const ended = await enhance(await canvas.convertToBlob(), options).catch((error) => error.name);
    return ended;
    """
    assert run(page, script) == "AbortError"
    picture = photograph[:32, :32]
    enhance(page, picture, network="dawn")
    seen = run(page, "return window.seen")
    assert seen[0] == [1, 8] and [8, 8] not in seen


def test_an_abort_after_the_end_is_not_told(page: Any) -> None:
    """The page aborts with one signal whatever was enhanced before the settings changed."""
    script = """
    const { enhance } = await import("./enhance.js");
    const post = Worker.prototype.postMessage, told = [], stop = new AbortController();
    Worker.prototype.postMessage = function (message, ...rest) {
      told.push("abort" in message ? "abort" : "enhance");
      return post.call(this, message, ...rest);
    };
    const canvas = new OffscreenCanvas(32, 32);
    canvas.getContext("2d").fillRect(0, 0, 32, 32);
    await enhance(await canvas.convertToBlob(), { network: "msrnet", signal: stop.signal });
    stop.abort();
    Worker.prototype.postMessage = post;
    return told;
    """
    assert run(page, script) == ["enhance"]


def test_the_documentation_states_the_sizes(page_folder: Path) -> None:
    sizes = {path.relative_to(page_folder / "photos").as_posix(): path.stat().st_size for path in page_folder.rglob("*.*")}

    def megabytes(*others: str) -> int:
        """Of all but these."""
        return round(sum(size for name, size in sizes.items() if not any(other in name for other in others)) / 1e6)

    every, wasm, webgpu = (
        megabytes("/msr"),
        megabytes("/msr", "/dawn-live", "/webgpu."),
        megabytes("/msr", "/dawn-live", "/wasm."),
    )
    text = (Path(__file__).resolve().parents[3] / "docs" / "web.md").read_text(encoding="utf-8")
    assert f"{every} MB with both; for photographs a browser loads about {wasm} (WebAssembly) or {webgpu} (WebGPU)" in text
    large = {name for name, size in sizes.items() if size > 25 * 2**20}
    assert large == {"onnxruntime/webgpu.wasm"}, "what the page can do without"


def test_networks_that_are_no_longer_used_are_released(page: Any) -> None:
    """In a worker of its own, which counts sessions."""
    script = """
    const at = (name) => JSON.stringify(new URL(name, location).href);
    const source = `
      let open = 0;
      const { InferenceSession } = await import(${at("onnxruntime/wasm.js")});
      const create = InferenceSession.create, post = self.postMessage.bind(self);
      InferenceSession.create = async (...words) => {
        const session = await create.apply(InferenceSession, words), release = session.release.bind(session);
        session.release = async () => { await release(); open -= 1; };
        open += 1;
        return session;
      };
      self.postMessage = (message) => post({ ...message, open });
      await import(${at("worker.js")});
      post({});
    `;
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })), { type: "module" });
    const answer = () => new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => data.error ? reject(new Error(data.error)) : resolve(data.open);
      worker.onerror = ({ message }) => reject(new Error(message));
    });
    await answer();
    const counts = [];
    for (const network of ["msrnet", "dawn", "dawn", "msr", "msrnet"]) {
      worker.postMessage({ id: 1, network });
      counts.push(await answer());
    }
    worker.terminate();
    return counts;
    """
    assert run(page, script) == [1, 2, 2, 1, 1]


def test_tiles_are_cut_as_in_python(page: Any) -> None:
    choose = random.Random(0)
    cases = [[choose.randint(16, 9000), choose.randint(0, 130), choose.choice([1, 4, 8, 24, 56])] for _ in range(200)]
    expected = [[list(astuple(span)) for span in tiling.spans(*case, 16, None)] for case in cases]
    script = """
    const { spans, squareSide } = await import("./tiles.js");
    const cut = args[0].map((each) => spans(...each, 16).map((s) => [s.start, s.stop, s.coreStart, s.coreStop]));
    return [cut, args[0].map(([height, width]) => squareSide(height, width, 300))];
    """
    cut, sides = run(page, script, cases)
    assert cut == expected
    assert sides == [tiling.square_side(height, width, 300) for height, width, _ in cases]


def test_it_works_offline_and_isolated_once_loaded(page_folder: Path, photograph: Images, tmp_path: Path) -> None:
    picture = np.ascontiguousarray(photograph[:50, :70])
    with chromium(tmp_path) as browser:
        with served(page_folder) as address:
            browser.get(f"{address}photos/")
            first = enhance(browser, picture, network="dawn")
            assert not browser.execute_script("return crossOriginIsolated")
        browser.refresh()
        assert browser.execute_script("return crossOriginIsolated"), "then threads can be used"
        assert apart(enhance(browser, picture, network="dawn"), first) <= 1
        with pytest.raises(RuntimeError):
            enhance(browser, picture, network="msrnet")  # it was not used, so it is not there
        wait_for(browser, "#network option")
        drop(browser, {"night.png": cv2.imencode(".png", picture[..., ::-1])[1].tobytes()})
        wait_for(browser, '[data-state="done"]')


def _live_pair(browser: Any) -> tuple[Images, Images]:
    """The frame of the live view before and after, once there are some, and of one size."""
    state = browser.find_element(By.ID, "live-state")
    WebDriverWait(browser, PATIENCE, 0.1).until(lambda _: state.text not in ("", "opening"))
    assert " ms a frame" in state.text, state.text
    script = "return ['.before', '.after'].map((name) => document.querySelector('#live ' + name).toDataURL())"
    texts = browser.execute_script(script)
    before, after = (
        cv2.imdecode(np.frombuffer(base64.b64decode(text.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR) for text in texts
    )
    assert before is not None and after is not None
    return np.ascontiguousarray(before[..., ::-1], np.uint8), np.ascontiguousarray(after[..., ::-1], np.uint8)


def test_a_camera_and_a_film_live(page_folder: Path, photograph: Images, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "night.webm"), "w") as film:
        stream = film.add_stream("libvpx", 10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(5):
            frame = np.ascontiguousarray(photograph[:96, number : 160 + number])
            film.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        film.mux(stream.encode())
    enhancer = Enhancer("dawn-live", backend="onnxruntime")
    camera = ("--use-fake-device-for-media-stream=fps=2", "--use-fake-ui-for-media-stream")
    with chromium(tmp_path, *camera) as browser, served(page_folder) as address:
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _LATE})
        browser.get(f"{address}photos/")
        button = wait_for(browser, "#camera")
        assert browser.find_elements(By.CSS_SELECTOR, "#network option"), "the camera needs a network"
        run(browser, 'await (await import("./enhance.js")).prepare("dawn-live")')
        button.click()
        before, after = _live_pair(browser)
        state = browser.find_element(By.ID, "live-state")
        assert state.text.startswith("dawn-live, ")
        assert before.mean() > 20 and apart(enhancer(before), after) <= 1
        browser.find_element(By.ID, "stop").click()
        assert not browser.find_element(By.ID, "live").is_displayed()
        browser.find_element(By.ID, "film").send_keys(str(tmp_path / "night.webm"))
        before, after = _live_pair(browser)
        assert abs(float(before.mean()) - float(photograph[:96, :160].mean())) < 8
        assert after.mean() > before.mean() + 10 and apart(enhancer(before), after) <= 1
        browser.find_element(By.ID, "stop").click()
        assert not browser.find_element(By.ID, "film").get_attribute("value"), "the same film may be chosen again"
        (tmp_path / "bad.webm").write_bytes(b"no film")
        with wave.open(str(tmp_path / "sound.webm"), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(bytes(8000))
        for name in ("bad.webm", "sound.webm"):
            browser.find_element(By.ID, "film").send_keys(str(tmp_path / name))
            refused = f"{name} is no film that this browser plays"
            WebDriverWait(browser, PATIENCE, 0.1).until(lambda _, text=refused: state.text == text)


def test_dropped_enhanced_and_downloaded(page_folder: Path, photograph: Images, tmp_path: Path) -> None:
    picture = np.ascontiguousarray(photograph[:100, :150])
    with chromium(tmp_path) as browser, served(page_folder) as address:
        browser.get(f"{address}photos/index.html")
        wait_for(browser, "#network option")
        drop(browser, {"night.png": cv2.imencode(".png", picture[..., ::-1])[1].tobytes(), "bad.png": b"bad"})
        wait_for(browser, '[data-state="failed"]')
        wait_for(browser, '[data-state="done"] .download').click()
        written = tmp_path / "downloads" / "night-dawn.png"
        wait_until(written.exists)
        result = cv2.imread(str(written))
        assert result is not None
        assert apart(np.ascontiguousarray(result[..., ::-1], np.uint8), Enhancer("dawn", backend="onnxruntime")(picture)) <= 1
        requests = browser.execute_script("return performance.getEntriesByType('resource').map((each) => each.name)")
        assert requests and all(name.startswith((address, "blob:", "data:")) for name in requests), json.dumps(requests)


def wait_until(happened: Any, seconds: float = PATIENCE) -> None:
    import time

    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


#: WebGPU is off where there is no GPU; these flags bring the one that computes on the CPU.
_SOFTWARE_GPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")

_ADAPTER = "return Boolean(await navigator.gpu?.requestAdapter());"

_PREPARE = """
const { prepare } = await import("./enhance.js");
return prepare(args[0]);
"""


@pytest.fixture(scope="module")
def gpu_page(page_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("browser"), *_SOFTWARE_GPU) as browser, served(page_folder) as address:
        patience(browser, 4 * PATIENCE)  # a CPU stands in for the GPU
        browser.get(f"{address}photos/")
        if not run(browser, _ADAPTER):
            pytest.skip("this browser has no WebGPU adapter, not even in software")
        yield browser
        assert not complaints(browser)


@pytest.mark.parametrize("network", ["dawn", "dawn-live", "msr"])
def test_webgpu_makes_pythons_picture_within_two_codes(gpu_page: Any, photograph: Images, network: str) -> None:
    assert run(gpu_page, _PREPARE, network) == "webgpu"
    picture = np.ascontiguousarray(photograph[:64, 40:111])
    expected = Enhancer(network, backend="onnxruntime")(picture)
    found = enhance(gpu_page, picture, network=network)
    assert apart(found, expected) <= 2
    assert apart(found, picture) > 20
