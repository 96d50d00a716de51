"""A film from file to file: times, streams, metadata, shape and what happens when something breaks off."""

from __future__ import annotations

import resource
import signal
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from runtime import Enhancer, InputError, OutputError
from runtime.images import Images
from runtime.media import films, pipeline
from runtime.media.film_options import FilmOptions
from tests.support.films import STEADY, VARYING, grey, mean, packets, shown, write_film


def same(image: Images, **options: object) -> Images:
    """A network that changes nothing."""
    return image


@pytest.fixture(autouse=True)
def nothing_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ffmpeg."""
    monkeypatch.setenv("PATH", "")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        *((suffix, "h264") for suffix in (".mp4", ".mov", ".mkv", ".ts", ".avi")),
        *((".webm", "vp9"), (".mpg", "mpeg2video"), (".wmv", "wmv2")),
    ],
)
def test_every_frame_is_enhanced(enhancer: Enhancer, tmp_path: Path, suffix: str, codec: str) -> None:
    source, target = write_film(tmp_path / "in.mp4"), tmp_path / "out" / f"film{suffix}"
    assert films.enhance(enhancer, source, target) == ""
    before, after = mean(shown(source).frames), mean(shown(target).frames)
    assert len(after) == len(before) == 30
    assert max(abs(b - 2 * a) for a, b in zip(before, after, strict=True)) < 4
    assert names(target.parent) == [target.name]
    with av.open(str(target)) as film:
        assert film.streams.video[0].codec_context.name == codec


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".ts", ".wmv"])
@pytest.mark.parametrize("times", [STEADY, VARYING])
def test_frames_are_shown_when_they_were(tmp_path: Path, suffix: str, times: tuple[Fraction, ...]) -> None:
    source, target = write_film(tmp_path / "in.mp4", times=times, time_base=Fraction(1, 1000)), tmp_path / f"out{suffix}"
    assert films.enhance(same, source, target) == ""
    found = shown(target).times
    assert [time - found[0] for time in found] == list(times)


def test_time_stamps_finer_than_a_millisecond_are_kept(tmp_path: Path) -> None:
    times = tuple(Fraction(number * 1001, 30000) for number in range(30))
    source = write_film(tmp_path / "in.mp4", times=times, time_base=Fraction(1, 30000))
    films.enhance(same, source, tmp_path / "out.mp4")
    assert shown(tmp_path / "out.mp4").times == list(times)


def test_a_varying_rate_where_only_a_constant_one_can_be(tmp_path: Path) -> None:
    """Each frame is there as long as it was, to half a frame of the grid."""
    source, target = write_film(tmp_path / "in.mp4", [grey(7 * number) for number in range(30)], VARYING), tmp_path / "out.avi"
    assert "frames are shown at multiples of 1/60 s" in films.enhance(same, source, target)
    found = shown(target)
    seen = list(zip(mean(found.frames), found.times, strict=True))
    first = [next(time for value, time in seen if abs(value - 20 - 7 * number) < 3) for number in range(30)]
    late = [time - first[0] - due for time, due in zip(first, VARYING, strict=True)]
    assert max(map(abs, late)) < 1 / 50


def test_sound_subtitles_chapters_and_metadata_come_along(tmp_path: Path) -> None:
    plain = write_film(tmp_path / "plain.mp4", times=VARYING, sound=True, metadata={"title": "A night"})
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    _add_extras(plain, source)
    assert films.enhance(same, source, target) == ""
    for kind in ("audio", "subtitle"):
        assert packets(target, kind) == packets(source, kind) and packets(target, kind)
    with av.open(str(target)) as film:
        assert film.metadata["title"] == "A night"
        assert [stream.metadata.get("language") for stream in film.streams.audio] == ["eng", "deu"]
        assert film.streams.subtitles[0].metadata["language"] == "fra"
        assert [chapter["metadata"]["title"] for chapter in film.chapters()] == ["Dusk"]
        assert [stream.type for stream in film.streams] == ["video", "audio", "audio", "subtitle", "attachment"]
        begin = [_first(film, stream) for stream in film.streams if stream.type != "attachment"]
    with av.open(str(source)) as film:
        before = [_first(film, stream) for stream in film.streams if stream.type != "attachment"]
    assert {round(float(b - a), 3) for a, b in zip(before, begin, strict=True)} == {round(float(begin[0] - before[0]), 3)}


def _first(film: object, stream: object) -> Fraction:
    """When a stream begins."""
    film.seek(0)  # type: ignore[attr-defined]
    packet = min((p for p in film.demux(stream) if p.pts is not None), key=lambda p: p.pts)  # type: ignore[attr-defined]
    return packet.pts * packet.time_base


def _add_extras(plain: Path, path: Path) -> None:
    """The same film with a subtitle, a chapter and an attached file."""
    with av.open(str(plain)) as film, av.open(str(path), "w") as result:
        result.metadata.update(film.metadata)
        copies = {stream.index: result.add_stream_from_template(stream) for stream in film.streams}
        for stream in film.streams:
            copies[stream.index].metadata.update(stream.metadata)
        text = result.add_mux_stream("subrip")
        text.metadata["language"] = "fra"
        text.time_base = Fraction(1, 1000)
        result.add_attachment("font.txt", "text/plain", b"letters")
        result.set_chapters([{"id": 1, "start": 0, "end": 1000, "time_base": Fraction(1, 1000), "metadata": {"title": "Dusk"}}])
        line = av.Packet(b"Good night")
        line.stream, line.pts, line.dts, line.duration, line.time_base = text, 500, 500, 400, Fraction(1, 1000)
        result.start_encoding()
        result.mux(line)
        for packet in film.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                result.mux(packet)


def test_what_a_container_cannot_hold_is_said(tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mp4", sound=True)
    note = films.enhance(same, source, tmp_path / "out.webm")
    assert note == "without sound (aac, eng): .webm does not hold it; without sound (aac, deu): .webm does not hold it"
    assert len(shown(tmp_path / "out.webm").frames) == 30


def test_a_film_is_turned_upright(tmp_path: Path) -> None:
    frames = [np.zeros((48, 64, 3), np.uint8) for _ in range(5)]
    for frame in frames:
        frame[:16, :16] = 200  # the upper left
    for degrees, corner in ((-90, (slice(0, 16), slice(-16, None))), (180, (slice(-16, None), slice(-16, None)))):
        source = write_film(tmp_path / "in.mp4", frames, STEADY[:5], rotation=degrees, aspect=Fraction(4, 3))
        films.enhance(same, source, tmp_path / "out.mp4")
        after = shown(tmp_path / "out.mp4").frames[0]
        assert after.shape == ((64, 48, 3) if degrees == -90 else (48, 64, 3))
        assert after[corner].mean() > 190 and after.mean() < 25
        with av.open(str(tmp_path / "out.mp4")) as film:
            assert next(film.decode(video=0)).rotation == 0
            assert film.streams.video[0].sample_aspect_ratio == (Fraction(3, 4) if degrees == -90 else Fraction(4, 3))


@pytest.mark.parametrize(("suffix", "note"), [(".mp4", "4:4:4"), (".webm", ""), (".mkv", "4:4:4")])
def test_odd_sizes_are_kept(tmp_path: Path, suffix: str, note: str) -> None:
    frames = [grey(number, (65, 47)) for number in range(5)]
    source = write_film(tmp_path / "in.mkv", frames, STEADY[:5], codec="ffv1", pixel_format="bgr0")
    assert note in films.enhance(same, source, tmp_path / f"out{suffix}")
    assert shown(tmp_path / f"out{suffix}").frames[0].shape == (47, 65, 3)


def test_strength_reaches_the_frames(enhancer: Enhancer, tmp_path: Path) -> None:
    source, target = write_film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    films.enhance(enhancer, source, target, strength=0.0)
    assert np.abs(shown(target).frames[10].astype(int) - shown(source).frames[10]).max() <= 2


def test_codec_and_quality_are_chosen(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    source = write_film(tmp_path / "in.mp4", [random.integers(0, 255, (96, 128, 3), np.uint8) for _ in range(10)], STEADY[:10])
    sizes: dict[int, int] = {}
    for quality in (20, 75, 95):
        films.enhance(same, source, tmp_path / "out.mp4", film=FilmOptions(quality=quality))
        sizes[quality] = (tmp_path / "out.mp4").stat().st_size
    assert sizes[20] < sizes[75] / 2 and sizes[75] < sizes[95]
    for codec, name in (("h265", "hevc"), ("vp9", "vp9"), ("mpeg4", "mpeg4"), ("ffv1", "ffv1"), ("libvpx", "vp8")):
        films.enhance(same, source, tmp_path / "out.mkv", film=FilmOptions(codec))
        with av.open(str(tmp_path / "out.mkv")) as film:
            assert film.streams.video[0].codec_context.name == name
        assert len(shown(tmp_path / "out.mkv").frames) == 10
    with pytest.raises(InputError, match=r"no encoder for 'h2064' here; known: h264, h265"):
        films.enhance(same, source, tmp_path / "out.mp4", film=FilmOptions("h2064"))
    with pytest.raises(OutputError, match=r"\.webm does not hold libx264; try another --codec"):
        films.enhance(same, source, tmp_path / "out.webm", film=FilmOptions("h264"))
    with pytest.raises(InputError, match="quality lies between 1 and 100, found 0"):
        FilmOptions(quality=0)


@pytest.mark.parametrize(
    ("suffix", "options", "container"),
    [
        (".avi", {"bf": "0"}, {}),
        (".mp4", {}, {"movflags": "+faststart"}),
        (".mkv", {}, {}),
    ],
)
def test_a_film_that_breaks_off_keeps_what_there_was(
    enhancer: Enhancer, tmp_path: Path, suffix: str, options: dict[str, str], container: dict[str, str]
) -> None:
    random = np.random.default_rng(0)
    frames = [random.integers(0, 99, (48, 64, 3), np.uint8) for _ in range(60)]
    times = tuple(Fraction(number, 25) for number in range(60))
    source = write_film(
        tmp_path / f"in{suffix}", frames, times, options=options, container=container, sound=True, time_base=Fraction(1, 25)
    )
    target = tmp_path / "out" / f"film{suffix}"
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(InputError, match=rf"breaks off after \d+ of \d+ frames.*; those are in .*film\.partial\{suffix}"):
        films.enhance(enhancer, source, target)
    assert names(target.parent) == [f"film.partial{suffix}"]
    kept = target.parent / f"film.partial{suffix}"
    assert 10 < len(shown(kept).frames) < 50
    assert len(packets(kept, "audio")) == 2


def test_a_recording_without_its_index_is_explained(tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mp4")
    source.write_bytes(source.read_bytes().split(b"moov")[0])
    with pytest.raises(InputError, match=r"index \(moov\) is missing: the recording ended before"):
        films.enhance(same, source, tmp_path / "out.mp4")
    assert names(tmp_path) == ["in.mp4"]


def test_damaged_frames_are_left_out_and_counted(tmp_path: Path) -> None:
    frames = [np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8) for number in range(30)]
    source = write_film(tmp_path / "in.mov", frames, codec="png", pixel_format="rgb24")
    data = bytearray(source.read_bytes())
    for number in (5, 12):
        place = [at for at in range(len(data)) if data.startswith(b"IHDR", at)][number]
        data[place : place + 300] = bytes(300)
    source.write_bytes(data)
    assert films.enhance(same, source, tmp_path / "out.mkv") == "2 damaged frames were left out"
    assert len(shown(tmp_path / "out.mkv").frames) == 28


@pytest.mark.parametrize("content", [b"", b"no film at all", b"RIFF\0\0\0\0AVI LIST"])
def test_what_is_no_film_is_named(enhancer: Enhancer, tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "in.avi"
    source.write_bytes(content)
    with pytest.raises(InputError, match=r"not a video that can be opened|no frame|no video"):
        films.enhance(enhancer, source, tmp_path / "out" / "film.avi")
    assert not (tmp_path / "out").exists() or not names(tmp_path / "out")


def test_an_animated_gif_is_a_film(tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.gif", codec="gif", pixel_format="rgb8", time_base=Fraction(1, 100))
    assert films.enhance(same, source, tmp_path / "out.mp4") == ""
    found = shown(tmp_path / "out.mp4")
    assert found.times == list(STEADY)


def test_a_frame_that_fails_leaves_nothing(enhancer: Enhancer, tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mp4")
    enhancer.close()
    with pytest.raises(RuntimeError, match="closed"):
        films.enhance(enhancer, source, tmp_path / "out" / "film.mp4")
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_was_done_before_an_end_is_a_film(tmp_path: Path, error: type[BaseException]) -> None:
    left = [12]

    def fails_later(image: Images) -> Images:
        left[0] -= 1
        if not left[0]:
            raise error
        return image

    source = write_film(tmp_path / "in.mp4", sound=True)
    with pytest.raises(error) as caught:
        films.enhance(fails_later, source, tmp_path / "out" / "film.mp4")
    assert names(tmp_path / "out") == ["film.partial.mp4"]
    kept = len(shown(tmp_path / "out" / "film.partial.mp4").frames)
    assert 1 <= kept <= 11
    assert caught.value.__notes__ == [f"the {kept} frames that were done are in {tmp_path}/out/film.partial.mp4"]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a disk: it fails in the same way, at the same place."""
    random = np.random.default_rng(0)
    source = write_film(tmp_path / "in.mp4", [random.integers(0, 255, (96, 128, 3), np.uint8) for _ in range(30)])
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*film\.mp4: File too large"):
            films.enhance(same, source, tmp_path / "out" / "film.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert names(tmp_path / "out") == []


def test_memory_is_bounded_by_frames_in_flight(enhancer: Enhancer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding stops when it is too far ahead of a network that is slower."""
    times = tuple(Fraction(number, 25) for number in range(200))
    source = write_film(tmp_path / "in.mp4", [grey(number, (32, 32)) for number in range(200)], times)
    overlap = pipeline.overlap
    alive: list[int] = [0, 0]

    def watched(items, load, work, store, **options):  # type: ignore[no-untyped-def]
        def counted_load(item):  # type: ignore[no-untyped-def]
            alive[0] += 1
            alive[1] = max(alive)
            return load(item)

        def counted_store(item, made):  # type: ignore[no-untyped-def]
            alive[0] -= 1
            return store(item, made)

        return overlap(items, counted_load, work, counted_store, **options)

    monkeypatch.setattr(pipeline, "overlap", watched)
    films.enhance(enhancer, source, tmp_path / "out.mp4")
    assert len(shown(tmp_path / "out.mp4").frames) == 200
    assert alive[1] <= 12


def test_an_unwritable_folder_is_named(enhancer: Enhancer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        films.enhance(enhancer, write_film(tmp_path / "in.mp4"), tmp_path / "file" / "film.mp4")
