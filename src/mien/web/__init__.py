"""An exported network as a static web page that reads pictures in the browser."""

from mien.web.folder import WebFolder, refuse, write_web_folder

__all__ = ["WebFolder", "refuse", "write_web_folder"]
