"""Films: files in, files out, with their time stamps, sound, subtitles and metadata."""

from runtime.media.films.whole import enhance

__all__ = ["enhance"]
