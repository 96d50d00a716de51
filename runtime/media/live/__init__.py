"""Live sources: cameras, network streams and pipes, and where their enhanced frames go."""

from runtime.media.live.address import is_live, is_url
from runtime.media.live.source import LiveFrame
from runtime.media.live.stream import Stream, stream

__all__ = ["LiveFrame", "Stream", "is_live", "is_url", "stream"]
