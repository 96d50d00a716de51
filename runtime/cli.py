"""Where environments installed before the move find the console script."""

from runtime.commands.main import entry as entry
