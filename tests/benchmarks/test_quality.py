"""Measures against figures worked out by hand or known of others, and the command on small folders."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import quality
from benchmarks.measures import lpips
from benchmarks.measures import quality as measures
from benchmarks.measures.fsim import feature_similarity, phase_congruency
from benchmarks.pictures import pairs as pairs_of
from train.errors import DataError

PIQ_EVEN, PIQ_ODD = 0.85341, 0.85350
RANDOM = np.random.default_rng(5)


def flat(*colour: int, height: int = 40, width: int = 48) -> measures.Picture:
    return np.tile(np.array(colour, np.uint8), (height, width, 1))


def picture(height: int = 64, width: int = 80, seed: int = 0) -> measures.Picture:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def test_psnr_by_hand() -> None:
    # 10 codes off everywhere: 20 log10(255 / 10).
    assert measures.psnr(flat(10, 20, 30), flat(20, 30, 40)) == pytest.approx(28.1308, abs=1e-4)
    assert measures.psnr(flat(1, 2, 3), flat(1, 2, 3)) == math.inf


def test_equal_pictures_are_perfect() -> None:
    x = picture()
    for name, described in measures.MEASURES.items():
        if name in ("psnr", "lpips") or described.higher_is_better is None:
            continue
        assert described.compute(x, x) == pytest.approx(1.0 if described.higher_is_better else 0.0, abs=1e-6), name


def test_worse_pictures_score_worse() -> None:
    x = picture()
    slight, strong = (np.clip(x + RANDOM.normal(0, s, x.shape), 0, 255).astype(np.uint8) for s in (4, 40))
    for name, described in measures.MEASURES.items():
        if name == "lpips" or described.higher_is_better is None:
            continue
        sign = 1 if described.higher_is_better else -1
        assert sign * described.compute(slight, x) > sign * described.compute(strong, x), name


def test_ssim_of_flat_pictures_by_hand() -> None:
    # Without structure only the luminance term is left: (2 a b + c1) / (a^2 + b^2 + c1).
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1)
    for compute in (measures.ssim, measures.ssim_gaussian):
        assert compute(flat(100, 100, 100), flat(150, 150, 150)) == pytest.approx(expected, abs=1e-6)


def test_gaussian_ssim_agrees_with_the_one_used_in_training() -> None:
    torch = pytest.importorskip("torch")
    from train.ssim import ssim

    x, y = picture(seed=1), picture(seed=2)
    y = (0.7 * x + 0.3 * y).astype(np.uint8)
    tensors = [torch.from_numpy(each.astype(np.float32)).permute(2, 0, 1)[None] for each in (x, y)]
    # scikit-image crops 5 pixels at each border after filtering, which is what filtering without padding leaves.
    assert measures.ssim_gaussian(x, y) == pytest.approx(float(ssim(*(each / 255 for each in tensors))), abs=1e-4)


def test_uqi_by_hand() -> None:
    assert measures.uqi(flat(100, 100, 100), flat(150, 150, 150)) == pytest.approx(2 * 100 * 150 / (100**2 + 150**2))
    assert measures.uqi(flat(0, 0, 0), flat(0, 0, 0)) == 1.0
    # A negative picture: equal variances, covariance -1 times them; every window of a checkerboard has mean 127.5.
    board = np.indices((16, 16)).sum(0) % 2 * 255
    x = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    assert measures.uqi(x, 255 - x) == pytest.approx(-1.0)


def test_angles_by_hand() -> None:
    assert measures.angular_error(flat(255, 0, 0), flat(0, 255, 0)) == pytest.approx(90)
    assert measures.angular_error(flat(255, 0, 0), flat(255, 255, 0)) == pytest.approx(45)
    assert measures.angular_error(flat(10, 20, 30), flat(20, 40, 60)) == pytest.approx(0, abs=1e-5)
    # Black has no direction; it counts as grey.
    assert measures.angular_error(flat(0, 0, 0), flat(9, 9, 9)) == pytest.approx(0, abs=1e-5)


def test_entropies_by_hand() -> None:
    assert measures.grey_entropy(flat(7, 7, 7), flat(0, 0, 0)) == 0
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert measures.grey_entropy(ramp, ramp) == pytest.approx(8)
    assert measures.colour_entropy(ramp, ramp) == pytest.approx(24)


def test_colour_difference_of_black_and_white() -> None:
    assert measures.ciede2000(flat(0, 0, 0), flat(255, 255, 255)) == pytest.approx(100, abs=0.01)


def test_colour_difference_of_a_published_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    # Sharma, Wu and Dalal 2005, table 1, pairs 1 and 7: outside of sRGB, so the step before it is replaced.
    pytest.importorskip("skimage")
    for first, second, expected in (
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ):
        lab = {1: first, 2: second}
        monkeypatch.setattr(
            "skimage.color.rgb2lab", lambda x, lab=lab: np.tile(np.array(lab[int(x[0, 0, 0])]), (*x.shape[:2], 1))
        )
        assert measures.ciede2000(flat(1, 1, 1), flat(2, 2, 2)) == pytest.approx(expected, abs=5e-5)


def test_colour_difference_of_red_and_green() -> None:
    # From the CIELAB values of sRGB's primaries under D65: (53.24, 80.09, 67.20) and (87.73, -86.18, 83.18).
    assert measures.ciede2000(flat(255, 0, 0), flat(0, 255, 0)) == pytest.approx(86.61, abs=0.02)


def test_lpips_of_one_layer_by_hand() -> None:
    """The first layer, worked out with loops; the others have no weight."""
    pytest.importorskip("torch")
    random = np.random.default_rng(2)
    widths, sides = (3, 4, 3, 2, 2, 2), (11, 5, 3, 3, 3)
    weights = {f"conv{i + 1}_weight": random.normal(0, 0.1, (widths[i + 1], widths[i], k, k)) for i, k in enumerate(sides)}
    weights |= {f"conv{i + 1}_bias": random.normal(0, 0.1, widths[i + 1]) for i in range(5)}
    weights |= {f"lpips_lin{i}": np.zeros((1, widths[i + 1], 1, 1)) for i in range(5)}
    weights["lpips_lin0"] += np.array([0.2, 0.5, 1.0, 0.3]).reshape(1, 4, 1, 1)
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    pictures = [picture(64, 72, seed=seed) for seed in (1, 2)]

    def features(image: measures.Picture) -> list[np.ndarray]:
        x = (image / 127.5 - 1 - np.array([-0.030, -0.088, -0.188])) / np.array([0.458, 0.448, 0.450])
        x = np.pad(x, ((2, 2), (2, 2), (0, 0))).transpose(2, 0, 1)
        kernel, bias = weights["conv1_weight"], weights["conv1_bias"]
        places = [(top, left) for top in range(0, 64 + 4 - 10, 4) for left in range(0, 72 + 4 - 10, 4)]
        found = [(kernel * x[:, t : t + 11, left : left + 11]).sum((1, 2, 3)) + bias for t, left in places]
        return [each / (np.linalg.norm(each) + 1e-10) for each in (np.maximum(vector, 0) for vector in found)]

    pairs = zip(*map(features, pictures), strict=True)
    expected = np.mean([((x - y) ** 2 * weights["lpips_lin0"].ravel()).sum() for x, y in pairs])
    assert expected > 0.01
    assert lpips.distance(pictures[0], pictures[1], weights) == pytest.approx(expected, rel=1e-4)


def test_fsim_agrees_with_piq() -> None:
    # piq 0.8.0's fsim, computed once in float64 on the same two pictures; its chroma matrix has one digit more.
    x = picture(96, 120, seed=3)
    y = np.clip(x.astype(np.int16) // 2 + 20, 0, 255).astype(np.uint8)
    assert feature_similarity(x, y) == pytest.approx(PIQ_EVEN, abs=2e-4)
    assert feature_similarity(x[:95, :113], y[:95, :113]) == pytest.approx(PIQ_ODD, abs=2e-4)


def test_phase_congruency_finds_an_edge_and_not_a_plain() -> None:
    grey = np.zeros((64, 64))
    grey[:, 32:] = 200.0
    found = phase_congruency(grey + np.random.default_rng(0).normal(0, 10, grey.shape))
    assert found[:, 31:33].mean() > 1.5 * found[:, 12:20].mean()
    assert phase_congruency(np.full((32, 32), 9.0)).max() == 0


def test_lpips_grows_with_the_difference(data: Path) -> None:
    x = picture(96, 96)
    slight, strong = (np.clip(x + RANDOM.normal(0, s, x.shape), 0, 255).astype(np.uint8) for s in (5, 50))
    assert lpips.distance(x, x) == 0
    assert 0.001 < lpips.distance(slight, x) < lpips.distance(strong, x) < 1.5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pairs of mixed formats: flat pictures 10 and 20 codes apart."""
    for side in ("low", "high"):
        (tmp_path / side).mkdir()
    cv2.imwrite(str(tmp_path / "low" / "1.png"), flat(10, 10, 10))
    cv2.imwrite(str(tmp_path / "high" / "1.webp"), flat(20, 20, 20), [cv2.IMWRITE_WEBP_QUALITY, 101])
    cv2.imwrite(str(tmp_path / "low" / "2.png"), flat(10, 10, 10))
    cv2.imwrite(str(tmp_path / "high" / "2.png"), flat(30, 30, 30))
    return tmp_path


def test_raw_input_scores_what_it_must(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quality.main(["input", "--data", str(folder), "--measures", "psnr", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    expected = [20 * math.log10(255 / 10), 20 * math.log10(255 / 20)]
    assert [each["values"]["psnr"] for each in results["pictures"]] == pytest.approx(expected, abs=1e-3)
    assert results["summary"]["psnr"]["mean"] == pytest.approx(sum(expected) / 2, abs=1e-3)
    assert results["summary"]["psnr"]["worst_picture"] == "2"


def test_any_callable_is_scored(folder: Path) -> None:
    scored = quality.measure(lambda image: image + np.uint8(10), pairs_of.find(folder, None), ["psnr"])
    assert scored[0].values["psnr"] == math.inf
    with pytest.raises(quality.InputError, match="expected uint8"):
        quality.measure(lambda image: image[1:], pairs_of.find(folder, None), ["psnr"])


def test_an_output_that_equals_its_truth_is_recorded_as_null(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "high" / "1.webp").unlink()
    (folder / "high" / "1.png").write_bytes((folder / "low" / "1.png").read_bytes())
    assert quality.main(["input", "--data", str(folder), "--measures", "psnr", "ssim", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert results["pictures"][0]["values"] == {"psnr": None, "ssim": 1.0}
    assert results["summary"]["psnr"]["mean"] is None
    assert results["summary"]["psnr"]["worst"] == pytest.approx(20 * math.log10(255 / 20), abs=1e-3)
    assert quality.main(["input", "--data", str(folder), "--measures", "psnr"]) == 0
    assert "inf" in capsys.readouterr().out


def test_pictures_of_the_training_are_scored_on_demand_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "pairs.csv").write_text("low,high,split\nlow/1.png,high/1.webp,val\nlow/2.png,high/2.png,train\n")

    def scored(*options: str) -> tuple[str | None, list[str]]:
        assert quality.main(["input", "--data", str(folder), "--measures", "psnr", "--json", *options]) == 0
        found = json.loads(capsys.readouterr().out)
        return found["configuration"]["split"], [each["picture"] for each in found["results"]["pictures"]]

    assert scored() == ("val", ["1"])
    assert scored("--split", "all") == ("all", ["1", "2"])
    (folder / "pairs.csv").unlink()
    assert scored() == (None, ["1", "2"])
    assert scored("--split", "val") == ("val", ["2"])  # The part that training keeps for validation.


def test_lol_as_distributed(folder: Path) -> None:
    for part in ("our485", "eval15"):
        (folder / part).mkdir()
    for side in ("low", "high"):
        (folder / "our485" / side).mkdir()
        for index in range(3):
            cv2.imwrite(str(folder / "our485" / side / f"{index}.png"), flat(index, index, index))
        (folder / side).rename(folder / "eval15" / side)
    assert pairs_of.choose_split(folder, None) == "eval15"
    names = {split: [pair.name for pair in pairs_of.find(folder, split)] for split in ("eval15", "train", "val", "all")}
    assert names == {"eval15": ["1", "2"], "train": ["0", "1"], "val": ["2"], "all": ["0", "1", "2", "1", "2"]}
    with pytest.raises(DataError, match="no split 'test'"):
        pairs_of.find(folder, "test")


def test_a_split_of_pairs_csv(folder: Path) -> None:
    (folder / "pairs.csv").write_text("low,high,split\nlow/1.png,high/1.webp,val\nlow/2.png,high/2.png,train\n")
    assert [pair.name for pair in pairs_of.find(folder, "val")] == ["1"]
    assert len(pairs_of.find(folder, None)) == 2
    with pytest.raises(DataError, match="'test'"):
        pairs_of.find(folder, "test")


def test_errors_are_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "low" / "3.png").write_bytes(b"no picture")
    assert quality.main(["input", "--data", str(folder)]) == 2
    assert "3 has no counterpart" in capsys.readouterr().err
    cv2.imwrite(str(folder / "high" / "3.png"), flat(1, 1, 1))
    assert quality.main(["input", "--data", str(folder), "--measures", "psnr"]) == 2
    assert "3.png is not a picture" in capsys.readouterr().err
    assert quality.main(["input", "--data", str(folder), "--measures", "beauty"]) == 2
    assert "unknown measure 'beauty'" in capsys.readouterr().err
    assert quality.main(["input", "--data", str(folder / "nowhere")]) == 2


def test_raw_input_on_real_pairs(data: Path) -> None:
    pairs = pairs_of.find(data / "LOL", "val")[:3]
    scored = quality.measure(lambda image: image, pairs, ["psnr", "ssim"])
    assert all(4 < each.values["psnr"] < 12 and each.values["ssim"] < 0.4 for each in scored)
